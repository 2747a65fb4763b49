"""Build every table of configs/table/ from the run records, check that results/ is up to date, or explain a cell."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Small matrices: more threads would only wait for one another, and for runs that train meanwhile.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from recface.errors import RecfaceError
from recface.output import quiet_pipe
from recface.results.build import check_tables, write_tables, write_tables_from_wandb
from recface.results.explain import explain

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="tables.py", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of runs (runs)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to write (results)")
    parser.add_argument("--configs", type=Path, default=ROOT / "configs" / "table", metavar="DIR", help="table YAMLs")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if results/ is out of date")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="take the runs from this W&B project alone")
    parser.add_argument("--explain", nargs=2, metavar=("ROW", "COLUMN"), help="tell which runs made a cell, and how")
    parser.add_argument("--table", metavar="NAME", help="with --explain: table of the cell (the first that has it)")
    parser.add_argument("--block", metavar="NAME", help="with --explain: block of the cell (the first with a value)")
    options = parser.parse_args(arguments)
    try:
        if options.explain and (options.check or options.wandb):
            raise RecfaceError("--explain reads the runs on disk and writes nothing: leave out --check and --wandb")
        if not options.explain and (options.table or options.block):
            raise RecfaceError("--table and --block name the cell of --explain ROW COLUMN, which is missing")
        if options.check and options.wandb:
            raise RecfaceError("--check compares with the runs on disk: leave out --wandb")
        if options.explain:
            cell = (*options.explain, options.table, options.block)
            print(explain(options.configs, options.runs, options.results, *cell))
        elif options.wandb:
            for path in write_tables_from_wandb(options.configs, options.wandb, options.results):
                print(path)
        elif options.check:
            check_tables(options.configs, options.runs, options.results)
            print(f"{options.results} is up to date")
        else:
            for path in write_tables(options.configs, options.runs, options.results):
                print(path)
    except RecfaceError as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
