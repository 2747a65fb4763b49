"""Run a W&B sweep file without a server: every point, some at a time; finished ones are skipped.

python src/sweep.py sweeps/ablation.yaml --workers 2
python src/sweep.py sweeps/ablation.yaml scale=smoke seed=0 --dry-run
python src/sweep.py status sweeps/ablation.yaml      how far each point is
python src/sweep.py prune sweeps/ablation.yaml       remove the folders of runs that were not finished

The same command goes on where it was stopped or killed. Several processes, on machines that share the folder of runs,
may work on one sweep at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# What is computed in this process must not take cores from the runs; they set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Everything heavy is imported where it is used: --dry-run and --help answer at once.
from recface.errors import RecfaceError
from recface.output import quiet_pipe
from recface.sweeps.project import checked_sweep

if TYPE_CHECKING:
    from recface.results.cache import Cache
    from recface.sweeps.job import Job
    from recface.sweeps.points import Points
    from recface.sweeps.spec import SweepSpec

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = ("run", "status", "prune")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="sweep.py",
        usage="sweep.py [run | status | prune] FILE [key=value ...] [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("file", type=Path, help="W&B sweep YAML: method grid, random or bayes")
    result.add_argument("overrides", nargs="*", help="key=value: replaces a parameter of the sweep, or is added to it")
    result.add_argument("--workers", type=int, default=2, metavar="N", help="runs at a time (2)")
    result.add_argument("--run-cap", type=int, metavar="N", help="most points, in place of the file's run_cap")
    result.add_argument("--dry-run", action="store_true", help="check the file, print the commands and stop")
    result.add_argument("--retry-failed", action="store_true", help="run points again that failed before")
    result.add_argument("--no-tables", action="store_true", help="do not rebuild results/ as points finish")
    result.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where tables go (results)"
    )
    result.add_argument("--yes", action="store_true", help="prune: do not ask")
    return result


def is_search(spec: SweepSpec) -> bool:
    """Whether an Optuna study draws the points, and not a grid."""
    return spec.method != "grid" or spec.early_terminate is not None


def open_points(spec: SweepSpec, retry_failed: bool = False) -> Points:
    """The points of a sweep: a list, or a study that draws them."""
    if not is_search(spec):
        from recface.sweeps.points import Grid

        return Grid(spec, retry_failed)
    from recface.sweeps.search import Search

    return Search(spec, retry_failed)


def run_points(spec: SweepSpec, options: argparse.Namespace) -> int:
    """Run the sweep; returns the exit code."""
    from recface.results.cache import Cache
    from recface.sweeps.display import Live, Plain, duration
    from recface.sweeps.points import runs_folder
    from recface.sweeps.runner import Runner

    points, runs = open_points(spec, options.retry_failed), runs_folder(spec)
    cache = Cache()  # each rebuild computes what the new run touches
    with (Live if sys.stdout.isatty() else Plain)(points.jobs) as display:

        def ended(job: Job) -> None:
            reason = f": {job.reason} (log: {job.log})" if job.reason else f" in {duration(job.seconds)}"
            before = f"was {job.state} before{f': {job.reason}' if job.reason else ''}"
            display.note(f"{job.name} {job.state + reason if job.here and not job.skipped else before}")
            if not options.no_tables and job.here and job.state == "finished" and not job.skipped:
                rebuild(runs, options.results, display.note, cache)

        failed = Runner(points, options.workers, ended, display.tick).run()
        if not options.no_tables and any(job.skipped for job in points.jobs):  # they may not be in the tables yet
            rebuild(runs, options.results, display.note, cache)
    return 1 if failed else 0


def rebuild(runs: Path, results: Path, say, cache: Cache) -> None:
    """Let the tables fill in; that they cannot be built yet must not stop the sweep."""
    from recface.results.build import write_tables

    try:
        write_tables(ROOT / "configs" / "table", runs, results, cache)
    except RecfaceError as error:
        say(f"tables: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code: 0 if every point is finished, 1 if one failed or the sweep is wrong, 130 if it was interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    action = arguments.pop(0) if arguments and arguments[0] in ACTIONS else "run"
    options = parser().parse_intermixed_args(arguments)
    try:
        if options.workers < 1:
            raise RecfaceError(f"--workers is {options.workers}, it must be at least 1")
        if options.run_cap is not None and options.run_cap < 1:
            raise RecfaceError(f"--run-cap is {options.run_cap}, it must be at least 1")
        spec = checked_sweep(options.file, options.overrides, options.run_cap)
        if options.dry_run:
            from recface.sweeps.command import dry_run

            for line in dry_run(spec):
                print(line)
            return 0
        if action != "run":
            from recface.sweeps.points import sweep_folder
            from recface.sweeps.status import prune, show

            if is_search(spec) and not (sweep_folder(spec) / "study.journal").exists():
                print("not started yet: no points are drawn")  # and looking draws none
                return 0
            points = open_points(spec)
            return show(points) if action == "status" else prune(points, options.yes)
        # `kill` and a closed terminal stop the children as Ctrl-C does.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            # Started with `&` by a script. The runs would inherit that, and could not be stopped early.
            signal.signal(signal.SIGINT, lambda *_: None)
        return run_points(spec, options)
    except RecfaceError as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sweep.py: stopped; the same command goes on where it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
