"""Run the points of a sweep as subprocesses, some at a time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.tracking.folder import PROGRESS_VARIABLE
from recface.tracking.record import read_record

GRACE_SECONDS = 15.0


@dataclass
class Job:
    """One point: its command, and how far it is.

    Attributes:
        name: Name of the point.
        command: Its command line.
        log: File that takes its output.
        state: "waiting", "running", "finished", "failed" or "stopped".
        reason: Why it failed, in one line.
        progress: As `RunFolder.progress` writes it.
        started: Time of start (monotonic seconds).
        seconds: How long it ran.
    """

    name: str
    command: list[str]
    log: Path
    state: str = "waiting"
    reason: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    seconds: float = 0.0

    @property
    def progress_path(self) -> Path:
        """File that the run mirrors its progress to."""
        return self.log.with_suffix(".progress.json")

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        if self.state == "finished":
            return 1.0
        total = self.progress.get("total") or 0
        return min(1.0, self.progress.get("step", 0) / total) if total else 0.0

    @property
    def skipped(self) -> bool:
        """Whether it had been finished before: it ended well without making any progress."""
        return self.state == "finished" and not self.progress


class Runner:
    """Runs jobs; `run` returns when all have ended.

    Args:
        jobs: In order.
        workers: How many at a time. The cores are shared out among them.
        after: Called with each job that has ended; should it take long, the next job has been started before.
        tick: Called about twice a second.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        workers: int = 2,
        after: Callable[[Job], None] = lambda job: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.jobs = list(jobs)
        self.workers, self.after, self.tick = workers, after, tick
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        """Run everything.

        Returns:
            Number of failed jobs.

        Raises:
            KeyboardInterrupt: After the children have been stopped.
        """
        waiting = deque(self.jobs)
        running: list[Job] = []
        try:
            while waiting or running:
                ended = [job for job in running if self._poll(job)]
                running = [job for job in running if job not in ended]
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    running.append(job)
                    self._start(job)
                for job in ended:
                    self.after(job)
                self.tick()
                if running and not ended:
                    time.sleep(0.5 if any(job.progress for job in running) else 0.1)
        finally:
            self._stop(running)
        return sum(job.state == "failed" for job in self.jobs)

    def _start(self, job: Job) -> None:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.progress_path.unlink(missing_ok=True)
        threads = str(max(1, cores() // self.workers))
        environment = os.environ | {
            PROGRESS_VARIABLE: str(job.progress_path.resolve()),
            "OMP_NUM_THREADS": threads,
            "NUMBA_NUM_THREADS": threads,
        }
        with open(job.log, "wb") as log:
            try:
                # A session of its own, so that Ctrl-C reaches it once, from here.
                process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise RecfaceError(f"cannot start {job.command[0]}: {error.strerror}") from None
        self._processes[id(job)] = process
        job.state, job.started = "running", time.monotonic()

    def _poll(self, job: Job) -> bool:
        """Read a job's progress; whether it has ended."""
        code = self._processes[id(job)].poll()
        job.seconds = time.monotonic() - job.started
        job.progress = read_progress(job.progress_path) or job.progress
        if code is None:
            return False
        job.state = "finished" if code == 0 else "failed"
        if code != 0:
            job.reason = failure(job, code)
        job.progress_path.unlink(missing_ok=True)
        return True

    def _stop(self, running: list[Job]) -> None:
        """Interrupt what still runs, as Ctrl-C would; what does not listen is killed."""
        alive = [job for job in running if self._processes.get(id(job)) and self._processes[id(job)].poll() is None]
        deadline = time.monotonic() + GRACE_SECONDS
        for job in alive:
            _signal(self._processes[id(job)], signal.SIGINT)
        for job in alive:
            process = self._processes[id(job)]
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
            job.state = "stopped"
            job.progress_path.unlink(missing_ok=True)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)  # the group is the process's own: it leads a session


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_progress(path: Path) -> dict[str, Any]:
    """Progress of a run; {} before it has made any."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def failure(job: Job, code: int) -> str:
    """Why a job failed, in one line: the reason in its record, else the last line it wrote."""
    if job.progress.get("run"):
        try:
            record = read_record(Path(job.progress["run"]))
        except RecfaceError:
            record = None
        if record is not None and record.state == "failed" and record.reason:
            return record.reason
    lines = [line.strip() for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
    if code < 0:
        return f"ended by signal {-code}" + (f" after: {lines[-1]}" if lines else "")
    return lines[-1] if lines else f"exit code {code}, no output"
