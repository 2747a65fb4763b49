"""The record of a run among the files of its W&B run, in the archive's form, so that tables can be built from there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recface.tracking.archive import archive
from recface.tracking.atomic import write_bytes
from recface.tracking.record import read_record

RECORD_FILE = "record/run.json"
PREDICTIONS_FILE = "record/predictions.npz"


def stage_record(run_folder: str | Path, target: str | Path) -> list[Path]:
    """Copy a run's record, and, of a finished one, its reduced predictions to where W&B uploads from.

    Args:
        run_folder: Folder of the run.
        target: Folder of the W&B run's files.

    Returns:
        The files, at `RECORD_FILE` and `PREDICTIONS_FILE` under the target.
    """
    run_folder, target = Path(run_folder), Path(target)
    write_bytes(target / RECORD_FILE, (run_folder / "run.json").read_bytes())
    staged = [target / RECORD_FILE]
    if read_record(run_folder).state == "finished":
        with tempfile.TemporaryDirectory() as folder:
            predictions = archive(run_folder, folder).with_suffix(".npz")
            if predictions.is_file():
                write_bytes(target / PREDICTIONS_FILE, predictions.read_bytes())
                staged.append(target / PREDICTIONS_FILE)
    return staged
