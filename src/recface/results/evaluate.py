"""The command line of src/evaluate.py: predictions, a protocol and a manifest in; a table and JSON out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS, BenchmarkProtocol
from recface.tracking.atomic import write_json

SCHEMA = "recface-evaluation/1"


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
            print(listing())
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


def listing() -> str:
    """Every protocol and every column of our own benchmark, a block of lines each."""
    lines = []
    for protocol in BENCHMARKS.values():
        lines += [protocol.id, f"    {summary(protocol)}"]
        lines += [f"    source  {protocol.source}", f"    unit    {protocol.unit or 'none'}"]
        lines += [f"    needs   {needs(protocol)}", ""]
    lines.append("Columns of our own benchmark (source: ours, DESIGN.md; from the predictions of a run):")
    for block, columns in (("benchmark", PROTOCOLS), ("photos", PHOTO_PROTOCOLS)):
        for key, column in columns.items():
            lines.append(f"    {column.id:<48} {block + '.' + key:<36} {column.unit or 'none':<5} {column.direction}")
    return "\n".join(lines)


def summary(protocol: BenchmarkProtocol) -> str:
    """The first line of a protocol's docstring."""
    return (type(protocol).__doc__ or "").strip().splitlines()[0]


def needs(protocol: BenchmarkProtocol) -> str:
    """What a protocol needs, in words: fields of predictions, columns of the manifest, pairs."""
    columns = [name for name in protocol.columns if name not in protocol.numbers[1:-1]]
    if len(columns) < len(protocol.columns):
        columns.insert(-1, "...")
    parts = [f"predictions with {', '.join(protocol.needs)}"]
    if columns:
        parts.append(f"manifest with {', '.join(('id', *columns))}")
    if protocol.pairs is not None:
        of = "templates" if protocol.templates else "ids"
        parts.append(f"{f'{protocol.pairs:,} pairs' if protocol.pairs else 'pairs'} of {of}")
    return "; ".join(parts)


def evaluate(
    predictions: Path, protocol_id: str | None, data: Path | None, face_model: str | None = None, missing: bool = False
) -> dict[str, Any]:
    """Measure one method under one protocol.

    Args:
        predictions: Folder or npz of predictions, or the folder of a run.
        protocol_id: A key of `BENCHMARKS`.
        data: Manifest; None for the predictions of a run, which hold it.
        face_model: "NAME" or "NAME=PATH"; None measures all vertices (and, for a run, its own face model's region).
        missing: Leave out samples without prediction, and count them.

    Returns:
        What --json writes.

    Raises:
        RecfaceError: Bad input.
    """
    from dataclasses import replace

    from recface.metrics.readers import match, read_predictions, read_truth
    from recface.metrics.readers.face_model import read_region, with_region

    protocol = find_protocol(protocol_id)
    region = read_region(*split_model(face_model)) if face_model else None
    if (predictions / "run.json").is_file():
        from recface.results.recompute import read_run

        predicted, truth, region = read_run(predictions, protocol, region)
        if data is not None:
            truth = read_truth(data, protocol)
    else:
        if data is None:
            raise RecfaceError("--data is missing: give the protocol's manifest, pair list or folder")
        truth, predicted = read_truth(data, protocol), read_predictions(predictions)
    if region is not None:
        predicted = with_region(predicted, region)
    matched = match(predicted, truth, protocol, missing)
    values = protocol.evaluate(matched.predictions, replace(matched.truth))
    return {
        "schema": SCHEMA,
        "protocol": protocol.id,
        "source": protocol.source,
        "unit": protocol.unit,
        "direction": protocol.direction,
        "values": values,
        "meaning": protocol.values,
        "samples": len(matched.predictions),
        "pairs": None if matched.truth.pairs is None else len(matched.truth.pairs),
        "missing": matched.missing,
        "missing_pairs": matched.missing_pairs,
        "unused": matched.unused,
        "region": "all vertices given" if region is None else f"face region of {region.name}",
        "predictions": str(predictions),
        "data": str(data) if data else str(predictions),
    }


def find_protocol(name: str | None) -> BenchmarkProtocol:
    """The protocol of an id.

    Raises:
        RecfaceError: No such protocol; near ones are named.
    """
    import difflib

    if name is None:
        raise RecfaceError("--protocol is missing; --list names them")
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if any(name == column.id for column in (*PROTOCOLS.values(), *PHOTO_PROTOCOLS.values())):
        raise RecfaceError(f"{name} is a column of our benchmark: take benchmark-shapes/v1 or benchmark-photos/v1")
    near = difflib.get_close_matches(name, BENCHMARKS, n=3, cutoff=0.5)
    raise RecfaceError(f"no protocol {name}; {'near are ' + ', '.join(near) if near else '--list names them'}")


def split_model(text: str) -> tuple[str, str | None]:
    """ "NAME=PATH" as name and path."""
    name, _, path = text.partition("=")
    return name, path or None


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    unit = report["unit"]
    table = Table("number", "value", "what it is", title=report["protocol"], title_justify="left")
    for name, value in report["values"].items():
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

    from recface.results.load import find_records
    from recface.results.recompute import compare_runs

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
