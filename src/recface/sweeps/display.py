"""A sweep as the user sees it: live table, plain lines, the list of `status`, and the question of `prune`."""

from __future__ import annotations

import collections
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recface.sweeps.points import ENDED, Job, Points, is_claimed, runs_folder

PLAIN_SECONDS = 15.0
COLORS = {"running": "cyan", "finished": "green", "failed": "red", "stopped": "yellow", "pruned": "yellow"}


def remaining(jobs: Sequence[Job], elapsed: float) -> float | None:
    """Seconds left for the whole sweep at the pace since it began; None before there is any pace.

    Points that were finished before count neither as work nor as done.
    """
    counted = [job for job in jobs if not job.skipped]
    done = sum(job.fraction for job in counted)
    left = sum(1 - job.fraction for job in counted if job.state in ("waiting", "running", "elsewhere"))
    if left == 0:
        return 0.0
    return elapsed * left / done if done > 0.02 else None


def duration(seconds: float | None) -> str:
    """Time as h:mm:ss or m:ss; "?" for None."""
    if seconds is None:
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def summary(jobs: Sequence[Job], elapsed: float) -> str:
    """The whole sweep in a line."""
    states = collections.Counter(job.state for job in jobs)
    ended = sum(states[state] for state in ENDED)
    share = sum(1.0 if job.state == "failed" else job.fraction for job in jobs) / max(1, len(jobs))
    parts = [f"{ended}/{len(jobs)} points", f"{share:.0%}", f"{duration(elapsed)} gone"]
    parts.append(f"{duration(remaining(jobs, elapsed))} left")
    words = {"pruned": "stopped early", "failed": "failed", "stopped": "stopped: run the same command again to resume"}
    return ", ".join(parts + [f"{states[state]} {word}" for state, word in words.items() if states[state]])


def describe(job: Job) -> list[str]:
    """A job's cells: point, state, step, phase, loss, time."""
    progress = job.progress
    step = f"{progress['step']}/{progress['total']}" if "step" in progress and "total" in progress else ""
    loss = f"{progress['loss']:.3f}" if isinstance(progress.get("loss"), (int, float)) else ""
    state = "finished before" if job.skipped else job.state
    return [job.name, state, step, str(progress.get("phase") or ""), loss, duration(job.seconds) if job.seconds else ""]


class Plain(contextlib.AbstractContextManager["Plain"]):
    """Lines for a log: each point that ended, and the whole every 15 seconds."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self._begun = self._said = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.note(summary(self.jobs, time.monotonic() - self._begun))

    def tick(self) -> None:
        """Print the summary, when it is time to."""
        if time.monotonic() - self._said < PLAIN_SECONDS:
            return
        self._said = time.monotonic()
        cells = [describe(job) for job in self.jobs if job.state == "running"]
        running = [" ".join(filter(None, [name, *rest])) for name, _, *rest in cells]
        self.note(f"{summary(self.jobs, self._said - self._begun)} | {' | '.join(running)}")

    def note(self, text: str) -> None:
        """Print a line at once."""
        print(text, flush=True)


class Live:
    """A table that stays in place on a terminal."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self._begun = time.monotonic()
        self._live = RichLive(self._table(), refresh_per_second=2)

    def __enter__(self) -> Live:
        self._live.__enter__()
        return self

    def __exit__(self, *arguments: Any) -> None:
        self.tick()
        self._live.__exit__(*arguments)

    def tick(self) -> None:
        """Draw the table anew."""
        self._live.update(self._table())

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._live.console.print(Text(text))

    def _table(self) -> Table:
        table = Table(caption=summary(self.jobs, time.monotonic() - self._begun), box=None, padding=(0, 1))
        for title in ("point", "state", "", "step", "phase", "loss", "time"):
            table.add_column(title, justify="right" if title in ("step", "loss", "time") else "left", no_wrap=True)
        for job in self.jobs:
            name, state, *rest = describe(job)
            bar = ProgressBar(total=1, completed=job.fraction, width=16)
            table.add_row(name, state, bar, *rest, style=COLORS.get(job.state))
        return table


def show(points: Points) -> int:
    """Print a line for each point, and the count of each state; returns the exit code, 1 if a point has failed."""
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for title in ("point", "state", "time", "run", "reason"):
        table.add_column(title, overflow="fold")
    states: collections.Counter[str] = collections.Counter()
    for job in points.jobs:
        state = points.state_on_disk(job) if job.key else "waiting"
        states[state] += 1
        if job.key:
            written, run = points.outcome(job), points.run_of(job)[0]
            seconds = duration(written["seconds"]) if written.get("seconds") else ""
            reason = written.get("reason") or job.reason if state == "failed" else ""
            table.add_row(job.name, state, seconds, str(run) if run is not None and run.is_dir() else "", reason)
    # Into a file or a pipe each point is one line, however long; a terminal folds it.
    Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)
    print(f"{len(points.jobs)} points: {', '.join(f'{count} {state}' for state, count in states.items())}")
    return 1 if states["failed"] else 0


def incomplete_runs(points: Points) -> list[Path]:
    """Folders of the points' runs that are not finished (stopped early ones too), and that no process works on."""
    inside, found = runs_folder(points.sweep).resolve(), dict[Path, None]()
    for job in points.jobs:
        run = points.run_of(job)[0] if job.key else None
        if run is None or not run.is_dir() or not run.resolve().is_relative_to(inside):
            continue
        # The run may have been started by hand: it holds a lock of its own, of the same kind.
        if points.state_on_disk(job) not in ("finished", "running") and not is_claimed(run / ".lock"):
            found[run] = None
    return list(found)


def prune(points: Points, yes: bool = False) -> int:
    """List the incomplete runs of a sweep's points, ask unless `yes`, and remove them; 1 if the answer was no.

    A point's file stays: one that failed is still not tried again without --retry-failed.
    """
    runs = incomplete_runs(points)
    if not runs:
        print("no incomplete runs")
        return 0
    for run in runs:
        print(run)
    if not yes:
        print(f"Remove {'this folder' if len(runs) == 1 else f'these {len(runs)} folders'}? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 1
    top = runs_folder(points.sweep).resolve()
    for run in runs:
        shutil.rmtree(run)
        for parent in (run.parent, run.parent.parent):  # <hash> and <experiment>, once they are empty
            if parent.resolve() != top and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
    print(f"{len(runs)} removed")
    return 0
