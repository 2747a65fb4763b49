"""Show a sweep as it goes: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from recface.sweeps.job import ENDED, Job

PLAIN_SECONDS = 15.0


def remaining(jobs: Sequence[Job], elapsed: float) -> float | None:
    """Seconds left over the whole sweep, by the pace so far.

    Args:
        jobs: All jobs.
        elapsed: Seconds since the sweep began.

    Returns:
        Seconds; None before there is any pace. Points that had been finished before count neither as work nor as done.
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
    ended = sum(job.state in ENDED for job in jobs)
    failed = sum(job.state == "failed" for job in jobs)
    share = sum(1.0 if job.state == "failed" else job.fraction for job in jobs) / max(1, len(jobs))
    text = (
        f"{ended}/{len(jobs)} points, {share:.0%}, {duration(elapsed)} gone, {duration(remaining(jobs, elapsed))} left"
    )
    pruned = sum(job.state == "pruned" for job in jobs)
    return text + (f", {pruned} stopped early" if pruned else "") + (f", {failed} failed" if failed else "")


def describe(job: Job) -> list[str]:
    """A job's cells: point, state, step, phase, loss, time."""
    progress = job.progress
    step = f"{progress['step']}/{progress['total']}" if "step" in progress and "total" in progress else ""
    loss = f"{progress['loss']:.3f}" if isinstance(progress.get("loss"), (int, float)) else ""
    state = "finished before" if job.skipped else job.state
    return [job.name, state, step, str(progress.get("phase") or ""), loss, duration(job.seconds) if job.seconds else ""]


class Plain:
    """Lines for a log: each point that ended, and the whole every 15 seconds."""

    def __init__(self, jobs: Sequence[Job], seconds: float = PLAIN_SECONDS) -> None:
        self.jobs, self.seconds = jobs, seconds
        self._begun = self._said = time.monotonic()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        print(summary(self.jobs, time.monotonic() - self._begun), flush=True)

    def tick(self) -> None:
        """Say how far it is, if it is time to."""
        if time.monotonic() - self._said < self.seconds:
            return
        self._said = time.monotonic()
        going = [
            " ".join(filter(None, describe(job)[:1] + describe(job)[2:])) for job in self.jobs if job.state == "running"
        ]
        print(f"{summary(self.jobs, self._said - self._begun)} | {' | '.join(going)}", flush=True)

    def note(self, text: str) -> None:
        """Say a line at once."""
        print(text, flush=True)


class Live:
    """A table that stays in place on a terminal."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        from rich.live import Live as RichLive

        self.jobs = jobs
        self._begun = time.monotonic()
        self._live = RichLive(self._table(), refresh_per_second=2)

    def __enter__(self) -> Live:
        self._live.__enter__()
        return self

    def __exit__(self, *arguments: Any) -> None:
        self._live.update(self._table())
        self._live.__exit__(*arguments)

    def tick(self) -> None:
        """Draw the table anew."""
        self._live.update(self._table())

    def note(self, text: str) -> None:
        """Say a line above the table."""
        from rich.text import Text

        self._live.console.print(Text(text))

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(caption=summary(self.jobs, time.monotonic() - self._begun), box=None, padding=(0, 1))
        for title in ("point", "state", "", "step", "phase", "loss", "time"):
            table.add_column(title, justify="right" if title in ("step", "loss", "time") else "left", no_wrap=True)
        colours = {"running": "cyan", "finished": "green", "failed": "red", "stopped": "yellow", "pruned": "yellow"}
        for job in self.jobs:
            name, state, *rest = describe(job)
            bar = ProgressBar(total=1, completed=job.fraction, width=16)
            table.add_row(name, state, bar, *rest, style=colours.get(job.state))
        return table
