"""`python -m tests.fuzz --minutes N`: mutations of the valid input of every reader; a table of what became of them."""

import argparse
import functools
import sys
from pathlib import Path

from tests.fuzz.campaign import fuzz, markdown


def main() -> int:
    """Fuzz; the exit code is 1 where a try ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (0)")
    parser.add_argument("--tries", type=int, help="most tries of a reader")
    parser.add_argument("--only", nargs="*", default=[], metavar="READER", help="names of readers; all by default")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for inputs that failed (a new one)")
    given = parser.parse_args()
    say = functools.partial(print, file=sys.stderr, flush=True)
    results, kept = fuzz(60 * given.minutes, given.seed, given.only, given.tries, given.keep, say)
    print(markdown(results))
    bad = sum(result.bad for result in results.values())
    print(f"\n{bad} tries ended badly" + (f": their inputs are in {kept}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
