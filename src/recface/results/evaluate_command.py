"""The command line of src/evaluate.py: predictions, a protocol and a manifest in; a table and JSON out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.results.evaluate import SCHEMA, evaluate, listing, markdown, split_model
from recface.tracking.atomic import write_json


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.list:
            print(markdown() if options.markdown else listing(), end="\n" * (not options.markdown))
            return 0
        if options.all:
            return _all(options)
        report = evaluate(
            options.predictions, options.protocol, options.data, options.face_model, options.allow_missing
        )
        _print(report)
        if options.json:
            write_json(options.json, report)
    except RecfaceError as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Measure any method's predictions under a protocol of the field (docs/protocols.md), or compute "
        "every run's metrics again from its stored predictions.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="every protocol: id, source, unit, what it needs")
    what.add_argument(
        "--all", action="store_true", help="recompute the metrics of all runs, compare with their records"
    )
    what.add_argument(
        "--predictions", type=Path, metavar="DIR", help="a method's output: npz, npy, OBJ or PLY; or a run"
    )
    parser.add_argument("--markdown", action="store_true", help="of --list: the table of docs/protocols.md")
    parser.add_argument("--protocol", metavar="ID", help="such as lfw-10fold-cos/v1")
    parser.add_argument("--data", type=Path, metavar="MANIFEST", help="CSV, pair list, or folder; of a run: not needed")
    parser.add_argument("--face-model", metavar="NAME[=PATH]", help="measure in the face region of this face model")
    parser.add_argument("--allow-missing", action="store_true", help="leave out samples without prediction, and count")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file, too")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="of --all: folder of runs (runs)"
    )
    parser.add_argument(
        "--records", type=Path, default=Path("results/records"), metavar="DIR", help="of --all: (results/records)"
    )
    return parser


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "value", "what it is", title=report["protocol"], title_justify="left")
    for name, value in report["values"].items():
        unit = report["units"].get(name, report["unit"])
        table.add_row(name, _number(value) + (f" {unit}" if unit else ""), report["meaning"].get(name, ""))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    pairs = "" if report["pairs"] is None else f", {report['pairs']:,} pairs"
    console.print(f"{report['samples']:,} samples{pairs}; {report['region']}", highlight=False)
    if report["missing"]:
        lost = f", {report['missing_pairs']:,} pairs with them" if report["missing_pairs"] else ""
        console.print(f"{report['missing']:,} predictions are missing and left out{lost}", highlight=False)
    if report["unused"]:
        console.print(f"{report['unused']:,} predictions are of no pair", highlight=False)


def _all(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from recface.results.recompute import compare_runs
    from recface.results.records import find_records

    entries = find_records(options.runs, options.records)
    if not entries:
        raise RecfaceError(
            f"no runs in {options.runs} or {options.records}; python src/run.py +experiment=sir makes one"
        )
    name, path = split_model(options.face_model) if options.face_model else ("", None)
    result = compare_runs(entries, {name: path} if path else None)
    table = Table("block", "metric", "runs", "largest difference", "rounding explains", "in", "")
    for item in result.comparisons.values():
        verdict = "OFF" if item.off else ""
        table.add_row(
            item.block, item.metric, str(item.runs), f"{item.largest:.2g}", f"{item.bound:.2g}", item.where, verdict
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for reason, count in result.skipped.items():
        print(f"not compared: {count} x {reason}")
    off = [item for item in result.comparisons.values() if item.off]
    if options.json:
        content = {
            "schema": SCHEMA,
            "comparisons": [vars(item) | {"off": item.off} for item in result.comparisons.values()],
            "values": result.values,
            "skipped": result.skipped,
        }
        write_json(options.json, content)
    if not result.values:
        raise RecfaceError("no run could be computed again; the reasons are above")
    if off:
        worst = off[0]
        raise RecfaceError(
            f"{len(off)} metrics differ from their records beyond rounding, such as {worst.block}.{worst.metric} of "
            f"{worst.where} by {worst.largest:.3g}: the code measures otherwise than when it ran; raise its protocol"
        )
    print(f"{len(result.values)} runs computed again: all metrics agree with their records")
    return 0
