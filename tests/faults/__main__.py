"""`python -m tests.faults --kills 50 --terms 10`: runs and a sweep are killed at random moments, and must come to the
same results as undisturbed ones."""

import argparse
import functools
import os
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.conftest import ROOT
from tests.faults.disturb import Runs, Sweeps, drawn_signals


def main() -> int:
    """Disturb; the exit code is 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs of runs (50)")
    parser.add_argument("--terms", type=int, default=10, help="SIGTERMs of runs (10)")
    parser.add_argument("--processes", type=int, default=8, help="processes on one sweep (8)")
    parser.add_argument("--points", type=int, default=40, help="points of the sweep (40)")
    parser.add_argument("--sweep-kills", type=int, default=20, help="SIGKILLs of the sweep's processes and runs (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    given = parser.parse_args()
    say = functools.partial(print, file=sys.stderr, flush=True)
    random = Random(given.seed)
    cache = Path(os.environ.get("RECFACE_CACHE") or ROOT / ".cache")
    with tempfile.TemporaryDirectory(prefix="recface-faults-") as folder:
        runs = Runs(Path(folder), cache, random, say)
        outcome, name = runs.outcome, 0
        while (left := (given.kills - outcome.signals["SIGKILL"], given.terms - outcome.signals["SIGTERM"])) != (0, 0):
            name += 1
            runs.disturb(f"run{name:02d}", drawn_signals(*left, random))
        wrong = Sweeps(Path(folder) / "sweep", random, given.processes, given.points, say).disturb(given.sweep_kills)
    print("| what | number |\n|---|---|")
    for label, number in (
        ("runs that were disturbed, and finished", outcome.runs),
        ("SIGKILL at a random moment", outcome.signals["SIGKILL"]),
        ("SIGTERM at a random moment of the work", outcome.signals["SIGTERM"]),
        ("slowest end after a SIGTERM", f"{outcome.slowest_stop:.1f} s"),
        ("largest difference of a metric from the undisturbed run", f"{outcome.largest_difference:g}"),
        (f"points of a sweep, with {given.processes} processes and {given.sweep_kills} kills", given.points),
        ("faults", len(outcome.wrong) + len(wrong)),
    ):
        print(f"| {label} | {number} |")
    for text in (*outcome.wrong, *wrong):
        print(f"- {text}")
    return 1 if outcome.wrong or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
