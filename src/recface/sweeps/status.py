"""`sweep.py status` and `sweep.py prune`: look at the points of a sweep, and clear away what was not finished."""

from __future__ import annotations

import collections
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from recface.sweeps.display import duration
from recface.sweeps.points import Points, runs_folder, state_on_disk


def show(points: Points) -> int:
    """Print a line for each point, and how many there are of each state.

    Returns:
        Exit code: 1 if a point has failed, 0 otherwise.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for title in ("point", "state", "time", "run", "reason"):
        table.add_column(title, overflow="fold")
    states: collections.Counter[str] = collections.Counter()
    for job in points.jobs:
        state = state_on_disk(points, job) if job.key else "waiting"
        states[state] += 1
        if job.key:
            written = points.outcome(job)
            run = points.run_of(job)[0]
            seconds = float(written.get("seconds") or 0.0)
            reason = written.get("reason") or job.reason if state == "failed" else ""
            place = str(run) if run is not None and run.is_dir() else ""
            table.add_row(job.name, state, duration(seconds) if seconds else "", place, reason)
    # Into a file or a pipe each point is one line, however long; a terminal folds it.
    Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)
    print(f"{len(points.jobs)} points: {', '.join(f'{count} {state}' for state, count in states.items())}")
    return 1 if states["failed"] else 0


def incomplete_runs(points: Points) -> list[Path]:
    """Folders of the points' runs that exist, are not finished (stopped early ones too), and that nobody works on."""
    inside, found = runs_folder(points.spec).resolve(), []
    for job in points.jobs:
        run = points.run_of(job)[0] if job.key else None
        if run is None or not run.is_dir() or not run.resolve().is_relative_to(inside):
            continue
        if state_on_disk(points, job) not in ("finished", "running") and not _is_held(run):
            found.append(run)
    return list(dict.fromkeys(found))


def prune(points: Points, yes: bool = False) -> int:
    """List the incomplete runs of a sweep's points, ask, and remove them.

    What a point's file says stays: one that failed is still not tried again without --retry-failed.

    Args:
        points: The points.
        yes: Do not ask.

    Returns:
        Exit code: 0, also if there was nothing to remove; 1 if the answer was no.
    """
    runs = incomplete_runs(points)
    if not runs:
        print("no incomplete runs")
        return 0
    for run in runs:
        print(run)
    if not yes and not _agreed(f"Remove {'this folder' if len(runs) == 1 else f'these {len(runs)} folders'}? [y/N] "):
        print("nothing removed")
        return 1
    top = runs_folder(points.spec).resolve()
    for run in runs:
        shutil.rmtree(run)
        for parent in (run.parent, run.parent.parent):  # <hash> and <experiment>, once they are empty
            if parent.resolve() != top and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
    print(f"{len(runs)} removed")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _is_held(run: Path) -> bool:
    """Whether a process works on a run; it may have been started by hand."""
    if not (run / ".lock").exists():
        return False
    try:
        with FileLock(run / ".lock", timeout=0):
            return False
    except Timeout:
        return True
