"""One method under one protocol: predictions and a manifest in, numbers and counts out.

Every protocol there is, as text for a terminal and as the table of docs/protocols.md.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.metrics.protocols import (
    BENCHMARKS,
    CONDITION_PROTOCOLS,
    PHOTO_PROTOCOLS,
    PROTOCOLS,
    BenchmarkProtocol,
)

SCHEMA = "recface-evaluation/1"
COLUMNS = {"benchmark": PROTOCOLS, "conditions": CONDITION_PROTOCOLS, "photos": PHOTO_PROTOCOLS}
"""Blocks of our own benchmark and their columns."""


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
    from recface.metrics.readers import match, read_predictions, read_truth
    from recface.metrics.readers.predictions import read_region, with_region

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
    values = protocol.evaluate(matched.predictions, matched.truth)
    return {
        "schema": SCHEMA,
        "protocol": protocol.id,
        "source": protocol.source,
        "unit": protocol.unit,
        "units": protocol.units,
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
    if name is None:
        raise RecfaceError("--protocol is missing; --list names them")
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if any(name == column.id for columns in COLUMNS.values() for column in columns.values()):
        raise RecfaceError(f"{name} is a column of our benchmark: take benchmark-shapes/v1 or benchmark-photos/v1")
    near = difflib.get_close_matches(name, BENCHMARKS, n=3, cutoff=0.5)
    raise RecfaceError(f"no protocol {name}; {'near are ' + ', '.join(near) if near else '--list names them'}")


def split_model(text: str) -> tuple[str, str | None]:
    """Name and path of NAME=PATH; None where no path is given."""
    name, _, path = text.partition("=")
    return name, path or None


def listing() -> str:
    """Every protocol and every column of our own benchmark, a block of lines each."""
    lines = []
    for protocol in BENCHMARKS.values():
        lines += [protocol.id, f"    {summary(protocol)}"]
        lines += [f"    source  {protocol.source}", f"    unit    {protocol.unit or 'none'}"]
        lines += [f"    needs   {needs(protocol)}", ""]
    lines.append("Columns of our own benchmark (source: ours, docs/methods.md; from the predictions of a run):")
    for block, columns in COLUMNS.items():
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


def markdown() -> str:
    """The same as one Markdown table: id, what it is, unit, source, needs, numbers."""
    rows = ["| id | what | unit | source | needs | numbers |", "|---|---|---|---|---|---|"]
    for protocol in BENCHMARKS.values():
        numbers = ", ".join(protocol.values)
        cells = (
            f"`{protocol.id}`",
            summary(protocol),
            protocol.unit or "none",
            protocol.source,
            needs(protocol),
            numbers,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    for block, columns in COLUMNS.items():
        for key, column in columns.items():
            cells = (f"`{column.id}`", f"{block} column", column.unit or "none", "ours; docs/methods.md", "a run", key)
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
