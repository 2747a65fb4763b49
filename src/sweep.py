"""Run a W&B sweep file without a server: every point of the grid, some at a time; finished ones are skipped.

python src/sweep.py sweeps/ablation.yaml --workers 2
python src/sweep.py sweeps/ablation.yaml scale=smoke seed=0 --dry-run
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

# What is computed in this process must not take cores from the runs; they set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from recface.errors import RecfaceError
from recface.sweeps.command import expand
from recface.sweeps.grid import grid_points
from recface.sweeps.spec import read_sweep

ROOT = Path(__file__).resolve().parents[1]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="sweep.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("file", type=Path, help="W&B sweep YAML, method grid")
    result.add_argument("overrides", nargs="*", help="key=value: replaces a parameter of the sweep, or is added to it")
    result.add_argument("--workers", type=int, default=2, metavar="N", help="runs at a time (2)")
    result.add_argument("--dry-run", action="store_true", help="print the commands and stop")
    result.add_argument("--no-tables", action="store_true", help="do not rebuild results/ as points finish")
    result.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where tables go (results)"
    )
    return result


def run_points(options: argparse.Namespace) -> int:
    """Run the sweep; returns the exit code."""
    from recface.sweeps.display import Live, Plain, duration
    from recface.sweeps.runner import Job, Runner

    spec = read_sweep(options.file, options.overrides)
    runs = Path(str(spec.parameters.get("paths.runs", {}).get("value", "runs")))
    jobs = [
        Job(point.name, expand(spec, point.parameters), runs / "logs" / f"{spec.name}-{point.name}.log")
        for point in grid_points(spec)
    ]
    with (Live if sys.stdout.isatty() else Plain)(jobs) as display:

        def ended(job: Job) -> None:
            reason = f": {job.reason} (log: {job.log})" if job.reason else f" in {duration(job.seconds)}"
            display.note(f"{job.name} {'was finished before' if job.skipped else job.state + reason}")
            if not options.no_tables and job.state == "finished" and not job.skipped:
                rebuild(runs, options.results, display.note)

        failed = Runner(jobs, options.workers, ended, display.tick).run()
        if not options.no_tables and any(job.skipped for job in jobs):  # what they hold may not be in the tables yet
            rebuild(runs, options.results, display.note)
    return 1 if failed else 0


def rebuild(runs: Path, results: Path, say) -> None:
    """Let the tables fill in; that they cannot be built yet must not stop the sweep."""
    from recface.results.build import write_tables

    try:
        write_tables(ROOT / "configs" / "table", runs, results)
    except RecfaceError as error:
        say(f"tables: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code: 0 if every point is finished, 1 if one failed or the sweep is wrong, 130 if it was interrupted.
    """
    options = parser().parse_intermixed_args(arguments)
    try:
        if options.workers < 1:
            raise RecfaceError(f"--workers is {options.workers}, it must be at least 1")
        if options.dry_run:
            spec = read_sweep(options.file, options.overrides)
            for point in grid_points(spec):
                print(" ".join(expand(spec, point.parameters)))
            return 0
        # `kill` and a closed terminal stop the children as Ctrl-C does.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        return run_points(options)
    except RecfaceError as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sweep.py: stopped; the same command goes on where it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
