"""The folder of a run: its lock, its record, its metrics as they come, and its progress."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recface.errors import Interrupted, RecfaceError, one_line
from recface.files.atomic import append_json_line, plain, sweep_up, write_json
from recface.tracking.record import RunRecord, now, read_record, write_record

PROGRESS_VARIABLE = "RECFACE_PROGRESS"
PROGRESS_SECONDS = 2.0


class RunFolder:
    """One run's folder. The record on disk is whole at every moment; a killed run is seen as "running" and can resume.

    Typical use::

        folder = RunFolder.open(run_path(runs, experiment, digest, seed))
        with folder.lock():
            if not folder.is_finished:
                with folder.running(new_record(experiment, digest, seed, config)):
                    folder.stage("stage1")
                    ...
                    folder.finish(metrics={"benchmark": {...}}, protocols={...}, timings={...})

    Attributes:
        path: The folder.
        record_path: Its run.json.
        record: The record as last read or written; None before the first start.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record_path = self.path / "run.json"
        self.record: RunRecord | None = None
        self._written = float("-inf")
        self._phase: str | None = None

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open a run folder, made if needed, and read its record where there is one.

        Raises:
            RecfaceError: The folder holds a record that cannot be read.
        """
        folder = cls(path)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.reload()
        return folder

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended well, by the record in memory; `lock` refreshes it."""
        return self.record is not None and self.record.state == "finished"

    def finished_with(self, versions: Mapping[str, Any]) -> bool:
        """Whether the run has ended well under these version keys."""
        return self.record is not None and self.is_finished and self.record.versions == versions

    def reload(self) -> None:
        """Read the record again from disk."""
        self.record = read_record(self.record_path) if self.record_path.exists() else None

    @contextmanager
    def lock(self, timeout: float = -1) -> Iterator[None]:
        """Hold the run alone, then see what another process may have finished meanwhile.

        Raises:
            RecfaceError: Another process still holds the run after `timeout` seconds; -1 waits as long as it takes.
        """
        try:
            with FileLock(self.path / ".lock", timeout=timeout):
                sweep_up(self.path)
                self.reload()
                yield
        except Timeout:
            raise RecfaceError(f"{self.path}: another process works on this run; wait for it or stop it") from None

    @contextmanager
    def running(self, record: RunRecord) -> Iterator[RunFolder]:
        """Start the run; an exception that stops it is recorded as the reason and raised again."""
        self.start(record)
        try:
            yield self
        except BaseException as error:
            with contextlib.suppress(OSError):  # a disk that is full to the last byte hides no reason
                self.fail(reason_of(error), "interrupted" if is_interrupt(error) else "failed")
            raise

    def start(self, record: RunRecord) -> None:
        """Write a record in state "running". A resumed run keeps the time of its first start."""
        if self.record is not None and self.record.versions != record.versions:
            for path in (self.path / "checkpoints").glob("*-last.ckpt"):
                path.unlink()  # of code that computed something else
        started = self.record.started if self.record else record.started
        self.record = replace(record, state="running", reason=None, started=started or now())
        self._save()

    def stage(self, name: str) -> None:
        """Note which stage begins."""
        self._started().stage = name
        self._save()

    def update(self, **fields: Any) -> None:
        """Set fields of the record that are known only during the run, such as `data_manifest`."""
        self.record = replace(self._started(), **fields)
        self._save()

    def log_metrics(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl and flush it, so that a killed run loses no row."""
        append_json_line(self.path / "metrics.jsonl", row)

    def progress(self, step: int, total: int, phase: str = "", loss: float | None = None) -> None:
        """Report progress to progress.json and the file named by RECFACE_PROGRESS, at most every two seconds.

        Steps count over the whole run, all stages together; a phase is such as "stage1" or "test".
        """
        due = time.monotonic() - self._written >= PROGRESS_SECONDS
        if not due and phase == self._phase and step < total:
            return
        self._written, self._phase = time.monotonic(), phase
        state = {"run": str(self.path), "phase": phase, "step": step, "total": total, "loss": loss, "updated": now()}
        write_json(self.path / "progress.json", state)
        if mirror := os.environ.get(PROGRESS_VARIABLE):
            write_json(mirror, state)

    def finish(
        self,
        metrics: Mapping[str, Mapping[str, Any]],
        protocols: Mapping[str, Any] | None = None,
        timings: Mapping[str, float] | None = None,
        photos_digest: str | None = None,
    ) -> RunRecord:
        """Close the run with its results, in the form of the fields of `RunRecord`; return the record as written."""
        record = self._started()
        self.record = replace(
            record,
            state="finished",
            reason=None,
            metrics={block: plain(values) for block, values in metrics.items()},
            protocols=dict(record.protocols if protocols is None else protocols),
            timings={**record.timings, **(timings or {})},
            photos_digest=photos_digest or record.photos_digest,
        )
        self._save()
        return self.record

    def fail(self, reason: str, state: str = "failed") -> None:
        """Close the run as failed or "interrupted", with the reason, kept to one line."""
        self.record = replace(self._started(), state=state, reason=one_line(reason))
        self._save()

    def _started(self) -> RunRecord:
        if self.record is None:
            raise RecfaceError(f"{self.path}: the run has not been started")
        return self.record

    def _save(self) -> None:
        record = self._started()
        record.updated = now()
        write_record(self.record_path, record)


def reason_of(error: BaseException) -> str:
    """Reason for the end of a run, in words for its record."""
    if is_interrupt(error):
        return str(error) if isinstance(error, Interrupted) else "interrupted"
    if isinstance(error, RecfaceError):
        return str(error)
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal ended the run, and not a mistake: it resumes when it is run again."""
    # Lightning's exception is not imported here; with exit code -1 a SLURM job leaves to be queued again.
    queued = isinstance(error, SystemExit) and error.code == -1
    return queued or isinstance(error, (KeyboardInterrupt, Interrupted)) or type(error).__name__ == "SIGTERMException"
