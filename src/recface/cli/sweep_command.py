"""`recface sweep [run | status | prune] FILE`: a W&B sweep file without a server, resumably."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recface.cli.declaration import argument, command, flag, path
from recface.errors import RecfaceError

if TYPE_CHECKING:
    from recface.sweeps.points import Job, Points
    from recface.sweeps.spec import Sweep


def is_search(spec: Sweep) -> bool:
    """Whether an Optuna study draws the points, and not a grid."""
    return spec.method != "grid" or spec.early_terminate is not None


def open_points(spec: Sweep, retry_failed: bool = False) -> Points:
    """The points of a sweep: a list, or a study that draws them."""
    if not is_search(spec):
        from recface.sweeps.points import Grid

        return Grid(spec, retry_failed)
    from recface.sweeps.search import Search

    return Search(spec, retry_failed)


def run_points(spec: Sweep, options: argparse.Namespace) -> int:
    """Run the sweep; returns the exit code."""
    from recface.sweeps.display import Live, Plain, duration
    from recface.sweeps.points import runs_folder
    from recface.sweeps.runner import Runner

    points, runs = open_points(spec, options.retry_failed), runs_folder(spec)
    with (Live if sys.stdout.isatty() else Plain)(points.jobs) as display:

        def ended(job: Job) -> None:
            reason = f": {job.reason} (log: {job.log})" if job.reason else f" in {duration(job.seconds)}"
            before = f"was {job.state} before{f': {job.reason}' if job.reason else ''}"
            display.note(f"{job.name} {job.state + reason if job.here and not job.skipped else before}")
            if not options.no_tables and job.here and job.state == "finished" and not job.skipped:
                rebuild(runs, options.results, display.note)

        failed = Runner(points, options.workers, ended, display.tick).run()
        if not options.no_tables and any(job.skipped for job in points.jobs):  # they may not be in the tables yet
            rebuild(runs, options.results, display.note)
    return 1 if failed else 0


def rebuild(runs: Path, results: Path, say: Callable[[str], object]) -> None:
    """Let the tables fill in; that they cannot be built yet must not stop the sweep."""
    from recface.results.build import write_tables
    from recface.settings.compose import CONFIGS

    try:
        write_tables(CONFIGS / "table", runs, results, with_figures=False)  # they take as long as a short run
    except RecfaceError as error:
        say(f"tables: {error}")


def checked_spec(options: argparse.Namespace) -> Sweep:
    """The sweep file with its overrides, all mistakes in it found."""
    from recface.settings.compose import HOME
    from recface.sweeps.sweep_mistakes import checked_sweep

    if options.run_cap is not None and options.run_cap < 1:
        raise RecfaceError(f"--run-cap is {options.run_cap}, it must be at least 1")
    shipped = HOME / options.file  # such as sweeps/ablation.yaml outside of the clone
    path = shipped if shipped.is_file() and not options.file.exists() else options.file
    return checked_sweep(path, options.overrides, options.run_cap)


_FILE = path("file", "FILE", "W&B sweep YAML: method grid, random or bayes")
_CAP = argument("--run-cap", type=int, metavar="N", help="most points, in place of the file's run_cap")
_KEYS = "replaces a parameter of the sweep, or is added to it; values separated by commas"
_sweep = partial(command, overrides=_KEYS, sweep=True, one_thread=True)


@_sweep(
    "sweep",
    _FILE,
    _CAP,
    argument("--workers", type=int, default=2, metavar="N", help="runs at a time (2)"),
    flag("--dry-run", "check the file, print the commands and stop"),
    flag("--retry-failed", "run points again that failed before"),
    flag("--no-tables", "do not rebuild results/ as points finish"),
    path("--results", "DIR", "where tables go", "results"),
    alias="sweep run",
)
def run(options: argparse.Namespace) -> int:
    """Run a W&B sweep file without a server: every point, some at a time; finished ones are skipped.

    recface sweep sweeps/ablation.yaml --workers 2
    recface sweep sweeps/ablation.yaml scale=smoke seed=0 --dry-run

    Rerun the command to resume; finished runs are skipped. Several processes, on machines that share the folder of
    runs, may work on one sweep at once.
    """
    if options.workers < 1:
        raise RecfaceError(f"--workers is {options.workers}, it must be at least 1")
    spec = checked_spec(options)
    if options.dry_run:
        from recface.sweeps.spec import dry_run

        for line in dry_run(spec):
            print(line)
        return 0
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # Started with `&` by a script. The runs would inherit that, and could not be stopped early.
        signal.signal(signal.SIGINT, lambda *_: None)
    return run_points(spec, options)


@_sweep("sweep status", _FILE, _CAP)
def status(options: argparse.Namespace) -> int:
    """Show how far each point of a sweep is."""
    from recface.sweeps.display import show

    points = drawn_points(options)
    return show(points) if points else 0


@_sweep("sweep prune", _FILE, _CAP, flag("--yes", "remove without asking"))
def clean(options: argparse.Namespace) -> int:
    """Remove the folders of a sweep's runs that were not finished."""
    from recface.sweeps.display import prune

    points = drawn_points(options)
    return prune(points, options.yes) if points else 0


def drawn_points(options: argparse.Namespace) -> Points | None:
    """The sweep's points; None, and a line that says so, where a study has not drawn any."""
    from recface.sweeps.points import sweep_folder

    spec = checked_spec(options)
    if is_search(spec) and not (sweep_folder(spec) / "study.journal").exists():
        print("not started yet: no points are drawn")  # and looking draws none
        return None
    return open_points(spec)
