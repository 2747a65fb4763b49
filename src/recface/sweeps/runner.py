"""Run the points of a sweep as subprocesses, some at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from recface.errors import RecfaceError
from recface.sweeps.points import ENDED, Job, Points, read_progress
from recface.tracking.folder import PROGRESS_VARIABLE
from recface.tracking.record import now, read_record

GRACE_SECONDS = 8.0


class Runner:
    """Runs points, some workers at a time, which share the cores.

    Calls `after` with each job that has ended, here or elsewhere, once the next one has been started; and `tick` about
    twice a second.
    """

    def __init__(
        self,
        points: Points,
        workers: int = 2,
        after: Callable[[Job], None] = lambda job: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.points, self.workers, self.after, self.tick = points, workers, after, tick
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping: dict[int, float] = {}
        self._told: set[int] = set()

    def run(self) -> int:
        """Run everything; returns the number of jobs that failed or were stopped. An interrupt stops the children."""
        running: list[Job] = []
        try:
            while True:
                ended = [job for job in running if self._poll(job)]
                running = [job for job in running if job not in ended]
                while len(running) < self.workers and (job := self.points.claim()) is not None:
                    running.append(job)
                    self._start(job)
                over = [job for job in self.points.jobs if job.state in (*ENDED, "stopped")]
                for job in [job for job in over if id(job) not in self._told]:
                    self._told.add(id(job))
                    self.after(job)
                self.tick()
                if not running and not self.points.pending():
                    break
                if not ended:
                    time.sleep(0.5 if not running or any(job.progress for job in running) else 0.1)
        finally:
            self._stop(running)
        return sum(job.state in ("failed", "stopped") for job in self.points.jobs)

    def _start(self, job: Job) -> None:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.progress_path.unlink(missing_ok=True)
        threads = str(max(1, cores() // self.workers))
        variables = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        variables[PROGRESS_VARIABLE] = str(job.progress_path.resolve())
        job.began = now()
        with open(job.log, "wb") as log:
            try:
                # A session of its own, so that Ctrl-C reaches it once, from here. It inherits the claim on its point.
                process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | variables,
                    start_new_session=True,
                    pass_fds=[job.claim.descriptor] if job.claim else [],
                )
            except OSError as error:
                raise RecfaceError(f"cannot start {job.command[0]}: {error.strerror}") from None
        self._processes[id(job)] = process
        job.state, job.started, job.here = "running", time.monotonic(), True

    def _poll(self, job: Job) -> bool:
        """Read a job's progress, and stop it if it is hopeless; whether it has ended."""
        process = self._processes[id(job)]
        code = process.poll()
        job.seconds = time.monotonic() - job.started
        known = job.run
        job.progress = read_progress(job.progress_path) or job.progress
        if job.run != known:
            self.points.note(job, "running")
        if code is None:
            if id(job) not in self._stopping and self.points.hopeless(job):
                self._stopping[id(job)] = time.monotonic()
                _signal(process, signal.SIGINT)
            elif time.monotonic() - self._stopping.get(id(job), time.monotonic()) > GRACE_SECONDS:
                _signal(process, signal.SIGKILL)
            return False
        self._end(job, self.points.state_after(job, code, id(job) in self._stopping), code)
        return True

    def _stop(self, running: list[Job]) -> None:
        """Interrupt what still runs, as Ctrl-C would; what does not listen is killed."""
        # An interrupt may have come before a child that was just started is said to be running.
        alive = [
            job
            for job in running
            if (process := self._processes.get(id(job))) and (process.poll() is None or job.state == "running")
        ]
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
            job.progress = read_progress(job.progress_path) or job.progress
            ended_well = self.points.state_after(job, process.returncode) == "finished"
            self._end(job, "finished" if ended_well else "stopped", process.returncode)

    def _end(self, job: Job, state: str, code: int) -> None:
        job.state = state
        if state in ("failed", "stopped"):
            job.reason = failure(job, code)
        self.points.end(job)
        job.progress_path.unlink(missing_ok=True)


def failure(job: Job, code: int) -> str:
    """Why a job failed or stopped, in one line: the reason in its record, else the last line it wrote."""
    if job.run is not None:
        with contextlib.suppress(RecfaceError):
            record = read_record(job.run)
            if record.state in ("failed", "interrupted") and record.reason:
                return record.reason
    lines = [line.strip() for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
    if code < 0:
        return f"ended by signal {-code}" + (f" after: {lines[-1]}" if lines else "")
    if code == 0:
        return "exit code 0, but no complete record of the run"
    return lines[-1] if lines else f"exit code {code}, no output"


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)  # the group is the process's own: it leads a session


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
