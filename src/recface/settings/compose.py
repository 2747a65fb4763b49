"""Configurations of runs: how Hydra composes them, and the experiments they can be of. Imports nothing heavy.

Experiments and further configurations may also lie in a folder of your own, laid out as configs/ (experiment/NAME.yaml
and so on), which the environment variable RECFACE_CONFIGS names; so a variant needs no clone of this project.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.files.guard import NAME
from recface.files.yaml_files import read_yaml
from recface.settings import Config
from recface.settings.overrides import ADDED

_PACKAGED = Path(__file__).resolve().parents[1] / "share"
HOME = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[3]
"""Folder of configs/, sweeps/ and external/: inside the package where a wheel was installed, else the clone."""
CONFIGS = HOME / "configs"
NO_KEY = "no configuration key '{}': see configs/ or `recface run --cfg job`"
APPENDABLE = ("experiment", ADDED, "hydra.launcher.")
"""Keys that `+key=value` may add: an experiment, training sources of your own, and further settings of a launcher."""


def config_folders() -> list[Path]:
    """The project's configurations, and the user's own folder where RECFACE_CONFIGS names one.

    Raises:
        RecfaceError: There is no such folder.
    """
    own = os.environ.get("RECFACE_CONFIGS")
    if own and not Path(own).is_dir():
        raise RecfaceError(f"RECFACE_CONFIGS: {own} must be a folder")
    return [CONFIGS, *([Path(own).resolve()] if own else [])]


def group_options(group: str) -> list[str]:
    """Configurations of a group, such as those that `scale=` takes; [] for anything but a group."""
    if not all(map(NAME.fullmatch, group.split("/"))):  # no text becomes a path
        return []
    return sorted({path.stem for folder in config_folders() for path in (folder / group).glob("*.yaml")})


def known_experiments() -> list[str]:
    """Names that `+experiment=` takes."""
    return group_options("experiment")


def compose_config(*overrides: str, missing: bool = False) -> Config:
    """Resolve a run's configuration as `recface run` would, from overrides such as "+experiment=sir".

    Args:
        overrides: As on the command line.
        missing: Whether keys may be without a value; they are "???" then.

    Raises:
        RecfaceError: Hydra refuses the overrides.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for folder in config_folders()[1:]:  # the user's own, found by hydra_plugins.recface_configs
        for path in folder.rglob("*.yaml"):
            _require_readable(path, path.stat().st_mtime_ns)  # Hydra's own reader knows no limits
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose("run", overrides=list(overrides))
            plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=not missing)
            return plain
    except (HydraException, OmegaConfBaseException) as error:
        raise RecfaceError(message(error)) from None


@functools.cache
def _require_readable(path: Path, changed: int) -> None:
    read_yaml(path)


def _layers(experiment: str, groups: list[Any] | None = None, above: tuple[str, ...] = ()) -> list[Config]:
    """The files of an experiment and of those it builds on, the root's first; `groups` gets their other defaults.

    `above` are the experiments that build on this one.
    """
    files = [folder / "experiment" / f"{experiment}.yaml" for folder in config_folders()]
    file = next(file for file in files if file.is_file())
    content, _ = read_yaml(file)
    if not isinstance(content, dict) or not isinstance(content.get("defaults", []), list):
        raise RecfaceError(f"{file}: must be a mapping of keys to values, with a list of defaults if any")
    if not all(isinstance(entry, (str, dict)) for entry in content.get("defaults", [])):
        raise RecfaceError(f"{file}: defaults must be names of experiments, or group: option")
    if experiment in above:
        raise RecfaceError(f"{file}: builds on itself, by {', '.join(above)}; leave it out of a defaults list")
    if wrong := [key for key in ("name", "parent", "title") if not isinstance(content.get(key), (str, type(None)))]:
        raise RecfaceError(f"{file}: {wrong[0]} must be text, not {content[wrong[0]]!r}")
    if not isinstance(content.get("tables", []), list):
        raise RecfaceError(f"{file}: tables must be a list, not {content['tables']!r}")
    defaults, known = content.pop("defaults", []), known_experiments()
    if groups is not None:
        groups += [entry for entry in defaults if entry not in known]
    return [layer for entry in defaults if entry in known for layer in _layers(entry, groups, (*above, experiment))] + [
        content
    ]


@functools.cache
def _composed(*overrides: str) -> Config:
    return compose_config(*overrides, missing=True)


def quick_config(*choices: str) -> Config:
    """Compose as `compose_config` with `missing`, at a fraction of the time for experiments that only build on others.

    Args:
        choices: `group=option` and `+experiment=NAME`, nothing else.
    """
    name = next((text.removeprefix("+experiment=") for text in choices if text.startswith("+experiment=")), "")
    groups: list[Any] = []
    layers = _layers(name, groups) if name in known_experiments() else []
    if groups or not layers:
        return _composed(*choices)
    from omegaconf import OmegaConf

    files = [OmegaConf.create(yaml.safe_dump(layer)) for layer in layers]  # its own YAML takes 1e-3 for a number
    base = _composed(*(text for text in choices if not text.startswith("+experiment=")))
    plain: Any = OmegaConf.to_container(OmegaConf.merge(base, *files), resolve=True)
    return plain


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment as tables show it."""

    name: str  # of its records
    title: str  # of its row; its name where the experiment gives none of its own
    parent: str | None  # name of the row that it is compared with, None for a root
    tables: tuple[str, ...]  # names of the tables that show it


def experiment_rows() -> list[ExperimentRow]:
    """All experiments, each after its parent, read without Hydra.

    An experiment inherits `parent` and `tables` from those in its `defaults:`, as the composed configuration does; the
    title names one row alone.
    """
    rows = []
    for experiment in known_experiments():
        layers = _layers(experiment)
        found = {key: value for layer in layers for key, value in layer.items()}
        name, title = found.get("name", experiment), layers[-1].get("title")
        rows.append(ExperimentRow(name, title or name, found.get("parent"), tuple(found.get("tables", ()))))
    by_name = {row.name: row for row in rows}

    def ancestry(row: ExperimentRow) -> list[str]:
        names = [row.name]
        while row.parent in by_name and row.parent not in names:
            row = by_name[row.parent]
            names.insert(0, row.name)
        return names

    return sorted(rows, key=ancestry)


def check_overrides(arguments: Sequence[str]) -> None:
    """Refuse overrides that Hydra would accept in silence or explain at length.

    Raises:
        RecfaceError: An unknown experiment, or a key that nothing reads.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        if argument.startswith("-") or not value:
            continue
        if key.lstrip("+") == "experiment":
            known = known_experiments()
            if unknown := [name for name in value.split(",") if name not in known]:
                raise RecfaceError(f"no experiment '{unknown[0]}': known are {', '.join(known)}")
            if not key.startswith("+"):
                raise RecfaceError(f"write +experiment={value}, with a plus sign: experiments add to the configuration")
        elif key.startswith("+") and not key.startswith("++") and not key[1:].startswith(APPENDABLE):
            raise RecfaceError(NO_KEY.format(key[1:]))


def message(error: BaseException) -> str:
    """The first line of an exception, and the keys it is about."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.startswith("Missing mandatory value"):
        key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "a key")
        return f"{key} has no value: give {key}=..."
    if text.startswith("Could not override '"):
        return NO_KEY.format(text.split("'")[1])
    options = itertools.dropwhile(lambda line: not line.startswith("Available options"), lines)
    names = list(itertools.takewhile(lambda line: not line.startswith("Config search path"), options))[1:]
    return text + (f" (available: {', '.join(names)})" if names else "")
