"""Records of runs from a W&B project, in the form of results/records/."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.tracking.archive import PREDICTIONS_FILE, RECORD_FILE, record_stem
from recface.tracking.atomic import write_bytes
from recface.tracking.record import RunRecord, read_record


def download_records(project: str, records: str | Path) -> int:
    """Download the record, and the reduced predictions, of every run of a W&B project that has sent one.

    Where several W&B runs hold one experiment, hash and seed, the finished one counts, and of those the newest.

    Args:
        project: ENTITY/PROJECT.
        records: Folder to fill.

    Returns:
        Number of records.

    Raises:
        RecfaceError: No such project, no key, no answer, or no record in it.
    """
    if project.count("/") != 1:
        raise RecfaceError(f"--wandb {project}: give ENTITY/PROJECT")
    records = Path(records)
    best: dict[str, RunRecord] = {}
    without = 0
    for run in _runs(project):
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
        print(f"{project}: left out, since they have sent no record yet: {without} of its runs", file=sys.stderr)
    if not best:
        raise RecfaceError(f"{project}: no run there has sent a record; they are sent by runs with logger=wandb")
    return len(best)


def _runs(project: str) -> list[Any]:
    import wandb

    try:
        return list(wandb.Api(timeout=30).runs(project, per_page=100))
    except Exception as error:  # of many kinds: no key, no server, no such project
        raise RecfaceError(f"--wandb {project}: {' '.join(str(error).split())}") from None


def _rank(record: RunRecord) -> tuple[bool, str]:
    return record.state == "finished", record.updated
