"""Find the records of runs, from runs/ and from the archive, and pick those of a table's block."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.results.spec import Block
from recface.tracking.archive import record_stem, reduce_predictions
from recface.tracking.record import RunRecord, read_record


@dataclass(frozen=True)
class Entry:
    """A record, and where its predictions are.

    Attributes:
        record: The record.
        path: Its file.
        predictions: npz with the predictions; None where there is none.
    """

    record: RunRecord
    path: Path
    predictions: Path | None = None

    def value(self, block: str, metric: str) -> float | None:
        """A recorded value; None where the run has none, or none that is a number (a mean face recognises nobody)."""
        value = self.record.metrics.get(block, {}).get(metric)
        return None if value is None or not math.isfinite(value) else value

    @property
    def commit(self) -> str:
        """Commit of the code that ran, in eight digits; "+" says that it had uncommitted changes."""
        return (self.record.git.get("commit") or "none")[:8] + ("+" if self.record.git.get("dirty") else "")

    def arrays(self) -> dict[str, np.ndarray]:
        """Predictions in the archive's reduced form, so that a fresh clone computes what the first machine did.

        Raises:
            RecfaceError: They cannot be read.
        """
        return {} if self.predictions is None else reduce_predictions(read_arrays(self.predictions))


@dataclass
class BlockRuns:
    """The runs of one block.

    Attributes:
        finished: Experiment to seed to entry.
        notes: What a reader should know: runs that failed, other configs left out, outdated records.
        outdated: (experiment, seed) of records whose version keys are behind.
    """

    finished: dict[str, dict[int, Entry]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outdated: set[tuple[str, int]] = field(default_factory=set)

    def entries(self) -> list[Entry]:
        """All finished entries, in a fixed order."""
        return [self.finished[name][seed] for name in self.finished for seed in sorted(self.finished[name])]


def read_arrays(path: Path, beginning: str = "") -> dict[str, np.ndarray]:
    """Content of a predictions.npz.

    Args:
        path: The file.
        beginning: Of the names of the arrays to read; by default all.

    Returns:
        Name to array.

    Raises:
        RecfaceError: It cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name.startswith(beginning)}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecfaceError(f"{path}: not readable ({' '.join(str(error).split())[:80]}); run it again") from None


def find_records(runs: str | Path, records: str | Path) -> list[Entry]:
    """Find every record; one in runs/ wins over the archived one of the same experiment, hash and seed.

    Only `runs/<experiment>/<hash>/seed=<n>/run.json` counts, so that runs kept deeper (smoke runs) stay apart. A run
    that is not finished does not hide its finished, archived form.

    Args:
        runs: Folder of runs; may be absent.
        records: Folder of archived records; may be absent.

    Returns:
        Entries sorted by experiment, hash, seed.

    Raises:
        RecfaceError: A record cannot be read.
    """
    found: dict[tuple[str, str, int], Entry] = {}
    for path in sorted(Path(records).glob("*.json")):
        record = read_record(path)
        predictions = path.with_suffix(".npz")
        found[(record.experiment, record.hash, record.seed)] = Entry(
            record, path, predictions if predictions.is_file() else None
        )
    for path in sorted(Path(runs).glob("*/*/seed=*/run.json")):
        record = read_record(path)
        key = (record.experiment, record.hash, record.seed)
        if record.state != "finished" and key in found:
            continue
        # The archived copy is written last; where its record is this one, its predictions are these, only smaller.
        archived = Path(records) / f"{record_stem(record)}.npz"
        current = key in found and found[key].record == record and archived.is_file()
        own = path.parent / "predictions.npz"
        found[key] = Entry(record, path, archived if current else own if own.is_file() else None)
    return [found[key] for key in sorted(found)]


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key in a nested config, None where it is absent."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def select_block(
    entries: Iterable[Entry],
    block: Block,
    experiments: Iterable[str],
    current: Mapping[str, Any] | None = None,
) -> BlockRuns:
    """Pick the runs of a block: one config an experiment, its finished seeds.

    Where several configs of an experiment fit the selectors, the one with the fewest command-line overrides is taken
    (a sweep over a weight must not replace the row), and of those the newest.

    Args:
        entries: All records.
        block: With the selectors.
        experiments: Rows of the table, in order.
        current: Version keys of the code; without them the newest record of the block decides what is current.

    Returns:
        The runs, with notes.
    """
    result = BlockRuns()
    matching = [e for e in entries if all(lookup(e.record.config, k) == v for k, v in block.select.items())]
    for experiment in experiments:
        groups: dict[str, list[Entry]] = {}
        for entry in matching:
            if entry.record.experiment == experiment:
                groups.setdefault(entry.record.hash, []).append(entry)
        usable = {h: [e for e in g if _has_metrics(e, block)] for h, g in groups.items()}
        usable = {h: g for h, g in usable.items() if g}
        chosen = max(usable, key=lambda h: _preference(usable[h]), default=None)
        result.finished[experiment] = {e.record.seed: e for e in usable.get(chosen, [])} if chosen else {}
        for entry in groups.get(chosen, []) if chosen else [e for g in groups.values() for e in g]:
            if entry.record.state == "failed":
                result.notes.append(f"{experiment} seed {entry.record.seed} failed: {entry.record.reason}")
        others = sorted(set(usable) - {chosen})
        if others:
            result.notes.append(f"{experiment}: config {chosen} is shown; left out: {', '.join(others)}")
    _mark_outdated(result, current or {})
    manifests = {e.record.data_manifest for e in result.entries() if e.record.data_manifest}
    if len(manifests) > 1:
        result.notes.append(f"rows do not compare: the runs saw different data ({', '.join(sorted(manifests))})")
    return result


def _has_metrics(entry: Entry, block: Block) -> bool:
    return entry.record.state == "finished" and bool(entry.record.metrics.get(block.metrics))


def _preference(group: list[Entry]) -> tuple[int, str, str]:
    fewest = min(len(entry.record.overrides) for entry in group)
    return -fewest, max(entry.record.updated for entry in group), group[0].record.hash


def _mark_outdated(runs: BlockRuns, current: Mapping[str, Any]) -> None:
    """Compare version keys; that of the variant only within an experiment, the others over the whole block."""
    entries = runs.entries()
    if not entries:
        return
    for entry in entries:
        record = entry.record
        behind = []
        for key, value in record.versions.items():
            peers = [e for e in entries if key != "variant" or e.record.experiment == record.experiment]
            newest = max(peers, key=lambda e: e.record.updated).record
            expected = current.get(key, newest.versions.get(key))
            if expected is not None and expected != value:
                behind.append(f"{key} {value}, now {expected}")
        if behind:
            runs.outdated.add((record.experiment, record.seed))
            runs.notes.append(f"{record.experiment} seed {record.seed} is outdated ({'; '.join(behind)}): run it again")
