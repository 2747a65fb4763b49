"""The record of a run: one small JSON file with its settings, the commit and packages it ran with, and its results."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.files.atomic import write_json
from recface.files.guard import is_number, plain_name
from recface.files.json_files import read_json

SCHEMA = "recface-run/1"
STATES = ("running", "finished", "failed", "interrupted")

RENAMED: dict[str, str] = {
    "config.peer": "config.baselines",
    "versions.peer": "versions.baselines",
    "config.sir.scale": "config.sir.softmax_scale",
    "config.sfm.scale": "config.sfm.softmax_scale",
    "config.sfm.scan.scale": "config.sfm.scan.softmax_scale",
}
"""Names in records of earlier versions to today's, as dotted paths into the record. Everything under a renamed key
moves with it; renames in `config` apply to the overrides too."""


@dataclass
class RunRecord:
    """The content of run.json. It names neither hosts nor absolute paths, so that it means the same everywhere.

    Attributes:
        experiment: Name of the experiment config.
        hash: `config_hash` of the config.
        seed: Random seed of the run.
        parent: Experiment that this one differs from, None for a root.
        stage: Name of the stage that runs, or that ran last.
        state: "running", "finished", "failed", or "interrupted": a signal stopped it, and it resumes when run again.
        reason: Why it failed or by what it was interrupted, in one line.
        config: The resolved config, plain.
        overrides: Command-line overrides; of two configs of one experiment, tables take the one with fewer.
        git: `{"commit", "dirty"}`.
        packages: Package name to version.
        data_manifest: Hash over the data the run saw.
        photos_digest: Hash over the photographs that its metrics of the block "photos" are of.
        versions: Versions of the code behind the results (`recface.versions`): benchmark, variant, protocol.
        metrics: Block to metric to value; blocks are "validation", "benchmark", "conditions", "photos" and so on.
        protocols: Metric to protocol id; or block to metric to id where blocks measure one metric differently.
        timings: Name to seconds.
        started: Time of the first start, UTC, ISO 8601.
        updated: Time of the last change, UTC, ISO 8601.
        schema: Version of this file's form.
    """

    experiment: str
    hash: str
    seed: int
    parent: str | None = None
    stage: str = ""
    state: str = "running"
    reason: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    git: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    data_manifest: str | None = None
    photos_digest: str | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    protocols: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    started: str = ""
    updated: str = ""
    schema: str = SCHEMA

    def protocol(self, block: str, metric: str) -> str:
        """Protocol id of a metric in a block, "" where the record names none."""
        inner = self.protocols.get(block)
        found = inner.get(metric) if isinstance(inner, Mapping) else self.protocols.get(metric)
        return found if isinstance(found, str) else ""


def now() -> str:
    """The time as records write it: UTC, whole seconds, ISO 8601."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def new_record(
    experiment: str,
    digest: str,
    seed: int,
    config: Mapping[str, Any],
    *,
    parent: str | None = None,
    overrides: Sequence[str] = (),
    versions: Mapping[str, Any] | None = None,
    data_manifest: str | None = None,
) -> RunRecord:
    """A record in state "running" with today's commit and package versions; arguments are the fields of `RunRecord`."""
    time = now()
    return RunRecord(
        experiment=experiment,
        hash=digest,
        seed=int(seed),
        parent=parent,
        config=dict(config),
        overrides=list(overrides),
        git=git_state(),
        packages=package_versions(),
        data_manifest=data_manifest,
        versions=dict(versions or {}),
        started=time,
        updated=time,
    )


PACKAGES = (
    "torch",
    "lightning",
    "timm",
    "kornia",
    "torchmetrics",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "hydra-core",
    "omegaconf",
    "anny",
    "easypytorch3d",
    "wandb",
)


def git_state(folder: str | Path | None = None) -> dict[str, Any]:
    """Commit of the code, and whether it has uncommitted changes outside `results/`, where runs write.

    Args:
        folder: Any folder of the repository; by default the clone that holds this file, if there is one.

    Returns:
        `{"commit": 40 hex digits, or None outside a repository, "dirty": bool}`.
    """
    if folder is None:
        folder = Path(__file__).resolve().parents[3]
        if not (folder / "src" / "recface").is_dir():  # installed from a wheel, perhaps inside another repository
            return {"commit": None, "dirty": False}

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    return {"commit": commit, "dirty": bool(changes)}


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed ones among these packages, read without importing any."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_FIELDS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (str, "string", ("experiment", "hash", "stage", "state")),
    (int, "whole number", ("seed",)),
    (dict, "mapping", ("config", "git", "packages", "versions", "metrics", "protocols", "timings")),
    (list, "list", ("overrides",)),
)


def read_record(path: str | Path) -> RunRecord:
    """Read and check a run.json, or that of a run folder, by today's names (`RENAMED`) and without unknown fields.

    Raises:
        RecfaceError: The file is missing or not JSON, or a field is missing or has the wrong type.
    """
    path = Path(path)
    path = path / "run.json" if path.is_dir() else path
    if not path.exists():
        raise RecfaceError(f"{path}: no run record here; run the experiment")
    content = read_json(path, "run record", "remove it and rerun")
    if missing := [name for name in ("experiment", "hash", "seed", "state") if name not in content]:
        raise RecfaceError(f"{path}: the run record lacks {', '.join(missing)}; remove it and rerun")
    for kind, described, names in _FIELDS:
        for name in names:
            if name in content and (not isinstance(content[name], kind) or isinstance(content[name], bool)):
                raise RecfaceError(f"{path}: {name} of the run record must be a {described}, not {content[name]!r}")
    for name in ("experiment", "hash"):  # they become names of files and folders
        plain_name(content[name], f"{path}: {name} of the run record")
    if wrong := _not_numbers(content):
        raise RecfaceError(f"{path}: {wrong} of the run record must be a number or null; remove it and rerun")
    if content["state"] not in STATES:
        raise RecfaceError(f"{path}: state of the run record must be one of {', '.join(STATES)}: {content['state']!r}")
    for old, new in RENAMED.items():
        _rename(content, old, new)
    known = {item.name for item in dataclasses.fields(RunRecord)}
    return RunRecord(**{name: value for name, value in content.items() if name in known})


def _not_numbers(content: dict[str, Any]) -> str | None:
    """The first of metrics and timings that is no number: "metrics.benchmark.nme"."""
    values = {f"timings.{name}": value for name, value in content.get("timings", {}).items()}
    for block, inner in content.get("metrics", {}).items():
        if not isinstance(inner, dict):
            return f"metrics.{block}"
        values |= {f"metrics.{block}.{name}": value for name, value in inner.items()}

    return next((name for name, value in values.items() if not is_number(value)), None)


def _rename(content: dict[str, Any], old: str, new: str) -> None:
    """Move the value at a dotted path, in place, if there is one; rename it in the overrides."""
    *parents, last = old.split(".")
    place: Any = content
    for key in parents:
        place = place.get(key) if isinstance(place, dict) else None
    if isinstance(place, dict) and last in place:
        value = place.pop(last)
        *parents, last = new.split(".")
        place = content
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    if old.startswith("config.") and content.get("overrides"):
        key, now_called = old.removeprefix("config."), new.removeprefix("config.")
        pattern = re.compile(rf"^([+~]*){re.escape(key)}(?=[.=@]|$)")
        content["overrides"] = [pattern.sub(rf"\g<1>{now_called}", override) for override in content["overrides"]]


def write_record(path: str | Path, record: RunRecord) -> None:
    """Write a record atomically, as JSON with one key a line."""
    write_json(path, dataclasses.asdict(record))
