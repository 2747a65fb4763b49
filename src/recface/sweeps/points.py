"""Points of a sweep on disk: who works on which, and how each ended. Processes and machines share them in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.files.atomic import sweep_up, write_json
from recface.files.guard import is_number
from recface.files.json_files import read_json
from recface.run.identity import is_complete, run_folder, run_hash
from recface.settings import Config
from recface.settings.compose import compose_config
from recface.settings.overrides import normalize_arguments
from recface.sweeps.spec import Sweep, expand, grid_points, installed_program, named
from recface.sweeps.sweep_mistakes import is_own
from recface.tracking.record import RunRecord, now, read_record

ENDED = ("finished", "failed", "pruned")
STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
"""Signals that end a run from outside; any other, such as that of a crash, is a failure of its own."""


class Claim:
    """A lock on a file, which the point's own process inherits and which the kernel gives up when its holders end.

    `filelock` ends a lock with the process that took it. Here a run continues when the sweep that started it is killed;
    since it has inherited the open file, no other process starts the same point until the run has ended too. The file
    is made if needed and never removed: another process may be about to lock it.
    """

    def __init__(self, path: Path, flags: int = 0) -> None:
        """Take a claim; without LOCK_NB, wait for the process that holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # to pass on to the run
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | flags)
        except BaseException:
            os.close(self.descriptor)
            raise

    @classmethod
    def take(cls, path: Path) -> Claim | None:
        """Take a claim; None where another process holds it."""
        try:
            return cls(path, fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    def release(self) -> None:
        """Give the claim up; a run that has inherited it must have ended."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # even if something the run left behind keeps the file open
        os.close(self.descriptor)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_claimed(path: Path) -> bool:
    """Whether any process holds a claim."""
    if path.exists() and (claim := Claim.take(path)) is not None:
        claim.release()
        return False
    return path.exists()


@dataclass(eq=False)
class Job:
    """One point as it is run.

    Its state is "waiting", "running", "elsewhere" (another process runs it), "finished", "failed", "pruned" (stopped
    early as hopeless) or "stopped", which the next call runs again.
    """

    name: str
    command: list[str]
    log: Path
    key: str = ""  # name of its files in the sweep's folder; "" for one that is still to be drawn
    parameters: dict[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    reason: str = ""  # of its failure, in one line
    progress: dict[str, Any] = field(default_factory=dict)  # as `RunFolder.progress` writes it
    started: float = 0.0  # monotonic seconds
    began: str = ""  # when it was started, in the form of records
    seconds: float = 0.0
    here: bool = False  # whether this process ran it
    claim: Claim | None = None  # held while this process runs it

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
        return min(1.0, (self.progress.get("step") or 0) / total) if total else 0.0

    @property
    def skipped(self) -> bool:
        """Whether it was finished before: it ended well without making any progress here."""
        return self.state == "finished" and not self.progress

    @property
    def run(self) -> Path | None:
        """Folder of its run, once it has reported progress."""
        return Path(self.progress["run"]) if self.progress.get("run") else None


class Points(ABC):
    """The jobs of a sweep, whose ends are written down, and each of which one process at a time may run.

    A point is settled if its file says so and, for this project's runs, if the run's record agrees: runs finished by
    hand or by a W&B agent are skipped, deleted or outdated ones are run again.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.jobs: list[Job] = []  # all points, for display; the list may grow
        self.sweep, self.folder, self.own = sweep, sweep_folder(sweep), is_own(sweep.program)
        self._configs: dict[str, Config] = {}
        sweep_up(self.folder, hours=1)

    @abstractmethod
    def claim(self) -> Job | None:
        """The next job to run, None while there is none."""

    def pending(self) -> bool:
        """Whether another process holds a point, and may die: then there is more to run."""
        return any(job.state in ("waiting", "elsewhere") for job in self.jobs)

    def hopeless(self, job: Job) -> bool:
        """Whether a running job shall be stopped early."""
        return False

    def job(self, name: str, key: str, parameters: Mapping[str, Any]) -> Job:
        """A point's job."""
        log = runs_folder(self.sweep) / "logs" / f"{self.sweep.name}-{name}.log"
        return Job(name, expand(self.sweep, parameters), log, key, dict(parameters))

    def lock_path(self, job: Job) -> Path:
        """File that the point's worker holds."""
        return self.folder / f"{job.key}.lock"

    def outcome(self, job: Job) -> dict[str, Any]:
        """Content of a point's file; {} before there is one."""
        return read_progress(self.folder / f"{job.key}.json")

    def config(self, job: Job) -> Config:
        """Configuration of one of this project's own points; composing it takes a fifth of a second."""
        if job.key not in self._configs:
            program = (installed_program(self.sweep.program) or [self.sweep.program])[-1]
            sent = [f"{name}={value}" for name, value in job.parameters.items()]
            if program in job.command:  # a template may add overrides of its own
                sent = [text for text in job.command[job.command.index(program) + 1 :] if "=" in text]
            overrides = [text for text in normalize_arguments(sent, {}) if text[0] != "-"]
            self._configs[job.key] = compose_config(*overrides)
        return self._configs[job.key]

    def record(self, job: Job) -> RunRecord | None:
        """Record of one of this project's own points; None where it is missing or damaged."""
        with contextlib.suppress(RecfaceError):
            return read_record(job.run or run_folder(self.config(job)))
        return None

    def state_after(self, job: Job, code: int, stopping: bool = False) -> str:
        """State of a point whose process has ended.

        The record decides for this project's own runs, the exit code for other programs.

        Args:
            job: The point.
            code: Exit code of its process, negative where a signal ended it.
            stopping: Whether the process was told to stop, as hopeless.
        """
        record = self.record(job) if self.own else None
        if is_complete(self.config(job), record) if self.own else code == 0:
            return "finished"
        if stopping:
            return "pruned"
        # A record from before this attempt says nothing about how it went.
        left = record is not None and str(record.updated) >= job.began and record.state in ("running", "interrupted")
        told = (-code if code < 0 else code - 128) in STOPPING
        return "stopped" if self.own and (left or told) else "failed"

    def run_of(self, job: Job) -> tuple[Path | None, str]:
        """Folder of a point's run and the hash of its configuration; (None, "") where only the run itself can know."""
        if not self.own:
            run = self.outcome(job).get("run")
            return (Path(run) if run else None), ""
        folder = run_folder(self.config(job))
        return folder, folder.parent.name

    def settled(self, job: Job) -> str:
        """State of a point that needs no run: "finished", "failed" or "pruned"; "" for any other.

        Call it with the point's claim, since it looks at what its worker writes.
        """
        written = self.outcome(job)
        state = written.get("state", "")
        run, digest = self.run_of(job)
        if self.own and run is not None:
            if is_complete(self.config(job), self.record(job)):
                return "finished"
            if state == "finished" or digest != written.get("digest"):
                return ""  # the run is gone or outdated, or configs/ has changed since
        return state if state in ENDED else ""

    def state_on_disk(self, job: Job) -> str:
        """State of a point for a mere look: one of Job's, or "incomplete" if its worker was killed or stopped."""
        if is_claimed(self.lock_path(job)):
            return "running"
        try:
            state = self.settled(job)
        except RecfaceError as error:
            job.reason = str(error)
            return "incomplete"
        run, _ = self.run_of(job)
        return state or ("incomplete" if run is not None and run.is_dir() else "waiting")

    def begin(self, job: Job) -> None:
        """Write down that a point has been started, and where an earlier attempt that was killed had its run."""
        job.state, job.progress = "waiting", read_progress(job.progress_path)
        self.note(job, "running")
        job.progress = {}

    def end(self, job: Job) -> None:
        """Write down how a point ended, and give it up; "stopped" ones are run again by the next call."""
        self.note(job, job.state)
        if job.claim is not None:
            job.claim.release()
            job.claim = None

    def follow(self, job: Job) -> None:
        """Show what another process does with a point."""
        job.state = "elsewhere"
        job.progress = read_progress(job.progress_path) or job.progress

    def take_over(self, job: Job, state: str) -> None:
        """Show a point as it was found settled."""
        written = self.outcome(job)
        job.state, job.reason = state, written.get("reason") or ""
        job.seconds = float(written.get("seconds") or 0.0)

    def note(self, job: Job, state: str) -> None:
        """Write a point's file: its state and where its run is, since the process that started it may be killed."""
        folder, digest = self.run_of(job)
        run = job.run or folder
        written: dict[str, Any] = {"name": job.name, "parameters": job.parameters, "state": state, "digest": digest}
        written |= {"reason": job.reason or None, "run": run and str(run)}
        written |= {"seconds": round(job.seconds, 1), "updated": now()}
        write_json(self.folder / f"{job.key}.json", written)


class Grid(Points):
    """The points of a grid, in W&B's order; with `retry_failed`, those that failed before now are run once more."""

    def __init__(self, sweep: Sweep, retry_failed: bool = False) -> None:
        super().__init__(sweep)
        for point in grid_points(sweep):
            key = digest_of(sweep.program, [f"{name}={value}" for name, value in point.parameters.items()])
            self.jobs.append(self.job(point.name, key, point.parameters))
        # Another process may retry one at the same time: only what is in this very state is run again here.
        failed = {job.key: self.outcome(job) for job in self.jobs} if retry_failed else {}
        self.retried = {key: written for key, written in failed.items() if written.get("state") == "failed"}

    def claim(self) -> Job | None:
        """The next point that is free and not settled, preferably one that need not wait for another's stage 1."""
        busy = [job for job in self.jobs if job.state == "running" and job.here] if self.own else []
        later = []
        for job in self.jobs:
            if job.state not in ("waiting", "elsewhere"):
                continue
            if any(self._shares_stage1(job, other) for other in busy):
                later.append(job)
            elif self._take(job):
                return job
        return next((job for job in later if self._take(job)), None)

    def _take(self, job: Job) -> bool:
        """Claim a point and write down that it begins, unless another process works on it or it is settled."""
        claim = Claim.take(self.lock_path(job))
        if claim is None:
            self.follow(job)
            return False
        state = self.settled(job)
        if state and not (state == "failed" and self.outcome(job) == self.retried.get(job.key)):
            self.take_over(job, state)
            claim.release()
            return False
        job.claim = claim
        self.begin(job)
        return True

    def _shares_stage1(self, job: Job, other: Job) -> bool:
        """Whether a point needs the very stage 1 that another one is still training: it would only wait for it."""
        if other.progress.get("phase") not in (None, "data", "stage1"):
            return False
        first, second = self.config(job), self.config(other)
        return first["seed"] == second["seed"] and run_hash(first, stage=1) == run_hash(second, stage=1)


def runs_folder(sweep: Sweep) -> Path:
    """Folder of all runs, by the sweep's parameter `paths.runs`."""
    forms = [form for name, form in sweep.parameters.items() if name.lstrip("+") == "paths.runs"]
    return Path(str(next((value for form in forms for _, value in named(form)), "runs")))


def sweep_folder(sweep: Sweep) -> Path:
    """Folder in which all processes that work on a sweep meet: `runs/sweeps/<name>`."""
    return runs_folder(sweep) / "sweeps" / sweep.name


def digest_of(*values: Any) -> str:
    """Twelve hex digits over values that JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def read_progress(path: Path) -> dict[str, Any]:
    """Contents of a small JSON file; {} where it does not exist or is damaged: its run will write it again."""
    try:
        content = read_json(path)
    except RecfaceError:
        return {}
    run = content.get("run") or ""
    right = isinstance(run, str) and "\0" not in run
    return content if right and all(is_number(content.get(name)) for name in ("step", "total", "seconds")) else {}
