"""One point of a sweep as it is run: its command, and how far it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.sweeps.claim import Claim
from recface.tracking.record import read_record

ENDED = ("finished", "failed", "pruned")


@dataclass(eq=False)
class Job:
    """One point.

    Attributes:
        name: Name of the point.
        command: Its command line.
        log: File that takes its output.
        state: "waiting", "running", "elsewhere" (another process runs it), "finished", "failed", "pruned" (stopped
            early as hopeless) or "stopped".
        reason: Why it failed, in one line.
        progress: As `RunFolder.progress` writes it.
        started: Time of start (monotonic seconds).
        seconds: How long it ran.
        here: Whether this process ran it.
        key: Name of its files in the sweep's folder.
        parameters: Its parameters with their values.
        claim: Held while this process runs it.
    """

    name: str
    command: list[str]
    log: Path
    state: str = "waiting"
    reason: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    seconds: float = 0.0
    here: bool = False
    key: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    claim: Claim | None = None

    @property
    def progress_path(self) -> Path:
        """File that the run mirrors its progress to."""
        return self.log.with_name(self.log.name.removesuffix(".log") + ".progress.json")

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        if self.state in ("finished", "pruned"):
            return 1.0
        total = self.progress.get("total") or 0
        return min(1.0, self.progress.get("step", 0) / total) if total else 0.0

    @property
    def skipped(self) -> bool:
        """Whether it had been finished before: it ended well without making any progress here."""
        return self.state == "finished" and not self.progress

    @property
    def run(self) -> Path | None:
        """Folder of its run, once it has told any progress."""
        return Path(self.progress["run"]) if self.progress.get("run") else None


def read_progress(path: Path) -> dict[str, Any]:
    """Progress of a run; {} before it has made any."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def failure(job: Job, code: int) -> str:
    """Why a job failed, in one line: the reason in its record, else the last line it wrote."""
    if job.run is not None:
        try:
            record = read_record(job.run)
        except RecfaceError:
            record = None
        if record is not None and record.state == "failed" and record.reason:
            return record.reason
    lines = [line.strip() for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
    if code < 0:
        return f"ended by signal {-code}" + (f" after: {lines[-1]}" if lines else "")
    return lines[-1] if lines else f"exit code {code}, no output"
