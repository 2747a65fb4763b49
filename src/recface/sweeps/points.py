"""The points of a sweep on disk: who works on which, and how each ended. Processes share them through a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.run.identity import Config, is_complete, run_folder, run_hash
from recface.sweeps.claim import Claim, is_claimed
from recface.sweeps.command import expand
from recface.sweeps.grid import grid_points
from recface.sweeps.job import ENDED, Job, read_progress
from recface.sweeps.project import is_own, point_config
from recface.sweeps.runner import Source
from recface.sweeps.spec import SweepSpec
from recface.tracking.atomic import write_json
from recface.tracking.record import now, read_record

Outcome = dict[str, Any]
"""What a point's file holds: name, parameters, state, reason, run (its folder), digest, seconds, updated."""


def runs_folder(spec: SweepSpec) -> Path:
    """Folder of all runs, by the sweep's parameter `paths.runs`."""
    return Path(str(spec.parameters.get("paths.runs", {}).get("value", "runs")))


def sweep_folder(spec: SweepSpec) -> Path:
    """Folder in which all processes that work on a sweep meet: `runs/sweeps/<name>`."""
    return runs_folder(spec) / "sweeps" / spec.name


def digest_of(*values: Any) -> str:
    """Twelve hex digits over values that JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


class Points(Source):
    """Jobs whose ends are written down, and which one process at a time may run.

    A point is settled if its file says so and, for this project's own runs, if the run's record says the same: what was
    finished by hand or by a W&B agent is not run again, and what was deleted or is outdated is.

    Args:
        spec: The sweep.
        jobs: Its points.
    """

    def __init__(self, spec: SweepSpec, jobs: Sequence[Job]) -> None:
        super().__init__(jobs)
        self.spec, self.folder, self.own = spec, sweep_folder(spec), is_own(spec.program)
        self._configs: dict[str, Config] = {}

    def job(self, name: str, key: str, parameters: Mapping[str, Any]) -> Job:
        """A point's job."""
        log = runs_folder(self.spec) / "logs" / f"{self.spec.name}-{name}.log"
        return Job(name, expand(self.spec, dict(parameters)), log, key=key, parameters=dict(parameters))

    def lock_path(self, job: Job) -> Path:
        """File that the point's worker holds."""
        return self.folder / f"{job.key}.lock"

    def outcome(self, job: Job) -> Outcome:
        """What is written down about a point; {} if nothing is."""
        return read_progress(self.folder / f"{job.key}.json")

    def config(self, job: Job) -> Config:
        """Configuration of one of this project's own points; composing it takes a tenth of a second."""
        if job.key not in self._configs:
            self._configs[job.key] = point_config(job.parameters)
        return self._configs[job.key]

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
        if self.own:
            run, digest = self.run_of(job)
            record = read_record(run) if run is not None and (run / "run.json").is_file() else None
            if is_complete(self.config(job), record):
                return "finished"
            if state == "finished" or digest != written.get("digest"):
                return ""  # the run is gone or outdated, or configs/ has changed since
        return state if state in ENDED else ""

    def begin(self, job: Job) -> None:
        """Write down that a point has been started, and where an earlier attempt that was killed had its run."""
        job.progress = read_progress(job.progress_path)
        self._write(job, "running")
        job.progress = {}

    def found(self, job: Job) -> None:
        """Write down where a point's run is: the process that started it may be killed."""
        self._write(job, "running")

    def end(self, job: Job) -> None:
        """Write down how a point ended, and give it up."""
        self._write(job, job.state)
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

    def _write(self, job: Job, state: str) -> None:
        run, digest = self.run_of(job)
        write_json(
            self.folder / f"{job.key}.json",
            {
                "name": job.name,
                "parameters": job.parameters,
                "state": state,
                "reason": job.reason or None,
                "run": str(job.run or run) if job.run or run else None,
                "digest": digest,
                "seconds": round(job.seconds, 1),
                "updated": now(),
            },
        )


class Grid(Points):
    """The points of a grid, in W&B's order.

    Args:
        spec: A sweep of method grid.
        retry_failed: Whether points that failed before now are run once more.
    """

    def __init__(self, spec: SweepSpec, retry_failed: bool = False) -> None:
        super().__init__(spec, [])
        for point in grid_points(spec):
            key = digest_of(spec.program, [f"{name}={value}" for name, value in point.parameters.items()])
            self.jobs.append(self.job(point.name, key, point.parameters))
        # Another process may retry one at the same time: only what is in this very state is run again here.
        failed = {job.key: self.outcome(job) for job in self.jobs} if retry_failed else {}
        self.retried = {key: written for key, written in failed.items() if written.get("state") == "failed"}

    def claim(self) -> Job | None:
        """The next point that nobody works on and that is not settled; where there is, one that need not wait."""
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
        """Claim a point and write down that it begins, unless somebody works on it or it is settled."""
        claim = Claim.take(self.lock_path(job))
        if claim is None:
            self.follow(job)
            return False
        state = self.settled(job)
        if state and not (state == "failed" and self.outcome(job) == self.retried.get(job.key)):
            self.take_over(job, state)
            claim.release()
            return False
        job.claim, job.progress, job.state = claim, {}, "waiting"
        self.begin(job)
        return True

    def _shares_stage1(self, job: Job, other: Job) -> bool:
        """Whether a point needs the very stage 1 that another one is still training: it would only wait for it."""
        if other.progress.get("phase") not in (None, "data", "stage1"):
            return False
        first, second = self.config(job), self.config(other)
        return first["seed"] == second["seed"] and run_hash(first, stage=1) == run_hash(second, stage=1)

    def pending(self) -> bool:
        """Whether another process holds a point."""
        return any(job.state in ("waiting", "elsewhere") for job in self.jobs)


def state_on_disk(points: Points, job: Job) -> str:
    """State of a point for whoever only looks: one of Job's, or "incomplete" if its worker was killed or stopped."""
    if is_claimed(points.lock_path(job)):
        return "running"
    try:
        state = points.settled(job)
    except RecfaceError as error:
        job.reason = str(error)
        return "incomplete"
    if state:
        return state
    run, _ = points.run_of(job)
    return "incomplete" if run is not None and run.is_dir() else "waiting"
