"""Find the records of runs, from runs/ and from the archive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recface.tracking.archive import read_arrays, record_stem, reduce_predictions
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
