"""Find the records of runs: in runs/, in the archive results/records/, or in a W&B project."""

from __future__ import annotations

import functools
import math
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError, one_line
from recface.files.arrays import read_arrays
from recface.files.atomic import write_bytes
from recface.tracking.archive import PREDICTIONS_FILE, RECORD_FILE, record_stem
from recface.tracking.record import RunRecord, read_record

TIME, TIME_PROTOCOL = "image_cpu_seconds", "cpu-seconds-per-image/v1"
"""The time per image is a timing of the record; tables show it beside the metrics of the benchmark."""
Influence = tuple[np.ndarray, np.ndarray]
"""(P,) influence of each person on a metric, and (P,) their identities."""


@dataclass(frozen=True)
class Entry:
    """A record, and where its predictions are."""

    record: RunRecord
    path: Path
    predictions: Path | None = None  # npz with the predictions; None where there is none
    archived: bool = False  # whether results/records/ holds this very run

    def value(self, block: str, metric: str) -> float | None:
        """A recorded value; None where the run has none, or none that is finite (a mean face recognizes nobody)."""
        metrics = self.record.metrics.get(block, {})
        value = metrics.get(metric)
        if value is None and metric == TIME and block == "benchmark" and metrics:
            value = self.record.timings.get(TIME)
        return None if value is None or not math.isfinite(value) else value

    def protocol(self, block: str, metric: str) -> str:
        """Protocol id of a value, "" where the record names none."""
        return self.record.protocol(block, metric) or (TIME_PROTOCOL if metric == TIME else "")

    @property
    def commit(self) -> str:
        """Commit of the code that ran, in eight digits; "+" marks uncommitted changes."""
        return (self.record.git.get("commit") or "none")[:8] + ("+" if self.record.git.get("dirty") else "")

    def arrays(self, *beginnings: str) -> dict[str, np.ndarray]:
        """Stored arrays as `read_arrays` gives them, floats as float16, as the archive keeps them."""
        found = {} if self.predictions is None else read_arrays(self.predictions, *beginnings)
        with np.errstate(over="ignore"):
            return {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in found.items()}

    def influence(self, block: str, metric: str) -> Influence | None:
        """Influence of each test person on a metric; None where the run did not store it."""
        return self._influences.get(f"{block}/{metric}")

    @cached_property
    def _influences(self) -> dict[str, Influence]:
        arrays = self.arrays("influence_")
        found: dict[str, Influence] = {}
        for name in sorted(arrays):
            people, metrics = arrays.get(f"{name}_people"), arrays.get(f"{name}_metrics")
            if people is not None and metrics is not None:
                kinds = arrays[name].dtype.kind + metrics.dtype.kind
                if kinds != "fU" or arrays[name].ndim != 2 or arrays[name].shape != metrics.shape + people.shape:
                    raise RecfaceError(f"{self.predictions}: {name} has another shape than its metrics and people")
                rows = zip(metrics.tolist(), arrays[name], strict=True)
                found |= {metric: (row, people) for metric, row in rows if np.isfinite(row).all()}
        return found

    def checked(self) -> Entry:
        """This entry; where its predictions are damaged, one of a failed run that says so."""
        try:
            _ = self._influences  # kept: tables need them
        except RecfaceError as error:
            return replace(self, record=_damaged(self.record, error), predictions=None)
        return self


def find_records(runs: str | Path, records: str | Path) -> list[Entry]:
    """Find every record; one in runs/ wins over the archived one of the same experiment, hash and seed.

    A damaged one becomes that of a failed run, whose reason says what is wrong, and one line on stderr names it: it
    costs its own row alone.

    Only `runs/<experiment>/<hash>/seed=<n>/run.json` counts, so that runs kept deeper (smoke runs) stay apart. A run
    that is not finished does not hide its finished, archived form. Either folder may be absent. Entries are sorted by
    experiment, hash and seed.
    """
    archived = {path.stem: path for path in sorted(Path(records).glob("*.json"))}
    found: list[Entry] = []
    for path in sorted(Path(runs).glob("*/*/seed=*/run.json")):
        record = _read(path)
        copy = archived.get(record_stem(record))
        if copy is not None and record.state != "finished":
            continue
        found.append(_run_entry(record, path, copy))
        archived.pop(record_stem(record), None)
    for path in archived.values():
        predictions = path.with_suffix(".npz")
        found.append(Entry(_read(path), path, predictions if predictions.is_file() else None, True))
    return sorted(
        (entry.checked() for entry in found),
        key=lambda entry: (entry.record.experiment, entry.record.hash, entry.record.seed),
    )


def find_runs(paths: Iterable[str | Path]) -> list[Entry]:
    """The runs of some folders, each a run's own or one with runs at any depth below it, in the order given.

    Raises:
        RecfaceError: There is no run in one of them.
    """
    found: dict[Path, Entry] = {}
    for folder in map(Path, paths):
        records = [folder / "run.json"] if (folder / "run.json").is_file() else sorted(folder.rglob("run.json"))
        if not records:
            raise RecfaceError(
                f"{folder}: no run here: give a run's folder, such as runs/sir/HASH/seed=0, or one above"
            )
        found |= {path: _run_entry(_read(path), path, None).checked() for path in records}
    return list(found.values())


def _read(path: Path) -> RunRecord:
    """A record; in place of a damaged one, that of a failed run named as its file is."""
    try:
        return read_record(path)
    except RecfaceError as error:
        if path.name == "run.json":
            experiment, digest, seed = path.parts[-4:-1]
        else:
            experiment, digest, seed = (path.stem.rsplit("-", 2) + ["", ""])[:3]
        number = int(digits) if (digits := seed.removeprefix("seed").lstrip("=")).isdecimal() else 0
        return _damaged(RunRecord(experiment, digest, number), error)


def _damaged(record: RunRecord, error: RecfaceError) -> RunRecord:
    """A record that tables take for a failed run's; one line says why."""
    _tell(f"left out: {error}")
    return replace(record, state="failed", reason=str(error))


@functools.cache
def _tell(line: str) -> None:
    """Print a line on stderr, once: tables and their page read the same records."""
    print(line, file=sys.stderr)


def _run_entry(record: RunRecord, path: Path, copy: Path | None) -> Entry:
    """A run on disk; its archived predictions stand for its own where both files say that they are the same run's."""
    own = path.with_name("predictions.npz")
    if copy is not None and copy.read_bytes() == path.read_bytes():
        reduced = copy.with_suffix(".npz")
        if not own.is_file():
            return Entry(record, path, reduced if reduced.is_file() else None, archived=not reduced.is_file())
        if reduced.is_file() and reduced.stat().st_mtime_ns >= own.stat().st_mtime_ns:
            return Entry(record, path, reduced, True)
    return Entry(record, path, own if own.is_file() else None)


def download_records(project: str, records: str | Path) -> int:
    """Download the records, and the reduced predictions, of all runs of a W&B project (ENTITY/PROJECT) into a folder.

    Where several W&B runs hold one experiment, hash and seed, the finished one counts, and of those the newest. The
    number of records is returned.

    Raises:
        RecfaceError: The project does not exist or does not answer, there is no key, or no run has sent a record.
    """
    if project.count("/") != 1:
        raise RecfaceError(f"--wandb {project}: give ENTITY/PROJECT")
    records = Path(records)
    best: dict[str, RunRecord] = {}
    without = 0
    for run in _wandb_runs(project):
        with tempfile.TemporaryDirectory() as folder:
            found = {file.name: file for file in run.files(names=[RECORD_FILE, PREDICTIONS_FILE])}
            if RECORD_FILE not in found:
                without += 1
                continue
            for file in found.values():
                file.download(root=folder, replace=True).close()
            record = read_record(Path(folder) / RECORD_FILE)
            stem = record_stem(record)
            if stem in best and _rank(best[stem]) >= _rank(record):
                continue
            best[stem] = record
            write_bytes(records / f"{stem}.json", (Path(folder) / RECORD_FILE).read_bytes())
            (records / f"{stem}.npz").unlink(missing_ok=True)
            if PREDICTIONS_FILE in found:
                write_bytes(records / f"{stem}.npz", (Path(folder) / PREDICTIONS_FILE).read_bytes())
    if without:
        print(f"{project}: left out {without} runs that have sent no record yet", file=sys.stderr)
    if not best:
        raise RecfaceError(f"{project}: no run there has sent a record; runs with logger=wandb send one")
    return len(best)


def _wandb_runs(project: str) -> list[Any]:
    import wandb

    try:
        return list(wandb.Api(timeout=30).runs(project, per_page=100))
    except Exception as error:  # of many kinds: no key, no server, no such project
        raise RecfaceError(f"--wandb {project}: {one_line(error)}") from None


def _rank(record: RunRecord) -> tuple[bool, str]:
    return record.state == "finished", record.updated
