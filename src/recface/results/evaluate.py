"""One method under one protocol: predictions and a manifest in, numbers and counts out.

The predictions of a run are measured as any method's; its predictions.npz holds the truth, too. Also every protocol
there is, as text for a terminal and as the table of docs/protocols.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recface.errors import RecfaceError
from recface.files.arrays import read_arrays
from recface.metrics.protocols import (
    BENCHMARKS,
    CONDITION_PROTOCOLS,
    PHOTO_PROTOCOLS,
    PROTOCOLS,
    BenchmarkProtocol,
    Predictions,
    Truth,
)
from recface.tracking.record import RunRecord, read_record

if TYPE_CHECKING:
    from recface.metrics.readers.region import Region

SCHEMA = "recface-evaluation/1"
COLUMNS = {"benchmark": PROTOCOLS, "conditions": CONDITION_PROTOCOLS, "photos": PHOTO_PROTOCOLS}
"""Blocks of our own benchmark and their columns."""
PARTS = {
    "test": ("benchmark", "benchmark-shapes/v1"),
    "control_shape": ("benchmark", "benchmark-control-shape/v1"),
    "control_albedo": ("benchmark", "benchmark-control-albedo/v1"),
    "photos": ("photos", "benchmark-photos/v1"),
}
"""Prefix of the arrays of predictions.npz to the record's block and the protocol that makes its numbers."""


UNITS = {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "um": 0.001}
"""Units of predicted shapes, in mm."""


def evaluate(
    predictions: Path,
    protocol_id: str | None,
    data: Path | None,
    face_model: str | None = None,
    missing: bool = False,
    *,
    layout: str | None = None,
    unit: str = "mm",
    template: Path | None = None,
    template_mask: Path | None = None,
) -> dict[str, Any]:
    """Measure one method under one protocol.

    Args:
        predictions: Folder or npz of predictions, or the folder of a run.
        protocol_id: A key of `BENCHMARKS`.
        data: Manifest; None for the predictions of a run, which hold it.
        face_model: "NAME" or "NAME=PATH"; None measures all vertices (and, for a run, its own face model's region).
        missing: Leave out samples without prediction, and count them.
        layout: Read `data` as the official folder of a benchmark, a key of `LAYOUTS`; its first protocol is then the
            default.
        unit: Of predicted vertices and points, a key of `UNITS`.
        template: Keypoints of the predictions' topology in REALY's form; see `with_template`.
        template_mask: Of the template.

    Returns:
        What --json writes.

    Raises:
        RecfaceError: Bad input.
    """
    from recface.metrics.layouts import find_layout, with_template
    from recface.metrics.readers import match, read_predictions, read_truth
    from recface.metrics.readers.region import read_region, with_region

    official, protocol = find_layout(layout, protocol_id) if layout else (None, find_protocol(protocol_id))
    if template_mask and not template:
        raise RecfaceError("--template-mask is of the template: give --template, too")
    region = read_region(*split_model(face_model)) if face_model else None
    if (predictions / "run.json").is_file() and official is None:
        predicted, truth, region = read_run(predictions, protocol, region)
        truth = truth if data is None else read_truth(data, protocol)
    elif data is None:
        raise RecfaceError("--data is missing: give the protocol's manifest, pair list or folder")
    elif official is None:
        truth, predicted = read_truth(data, protocol), read_predictions(predictions, UNITS[unit])
    else:
        predicted = read_predictions(predictions, UNITS[unit])
        truth = official.read(data, protocol, predicted.ids)
    if template is not None:
        predicted = with_template(predicted, template, template_mask)
    if region is not None:
        predicted = with_region(predicted, region)
    matched = match(predicted, truth, protocol, missing, allow_unused=official is not None)
    return {
        "schema": SCHEMA,
        "protocol": protocol.id,
        "source": protocol.source,
        "unit": protocol.unit,
        "units": protocol.units,
        "direction": protocol.direction,
        "values": protocol.evaluate(matched.predictions, matched.truth),
        "meaning": protocol.values,
        "samples": len(matched.predictions),
        "pairs": None if matched.truth.pairs is None else len(matched.truth.pairs),
        "missing": matched.missing,
        "missing_pairs": matched.missing_pairs,
        "unused": matched.unused,
        "region": "all vertices given" if region is None else f"face region of {region.name}",
        "template_mask": template_mask and str(template_mask),
        "predictions": str(predictions),
        "data": str(data or predictions),
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


def has_own_model(record: RunRecord) -> bool:
    """Whether stored parameters are of a face model that belongs to the run alone: learned, or spanning vertices."""
    imported = record.config.get("baselines", {}).get("method") == "imported"
    return "sfm" in record.config or (imported and "param_energy" not in record.metrics.get("benchmark", {}))


def run_model(record: RunRecord, folder: Path) -> tuple[str, str | None]:
    """Name and path of the face model that the parameters stored in a run's folder belong to.

    Raises:
        RecfaceError: The run has one of its own, and it is not there: archived copies leave it out.
    """
    from recface.face_model.npz import LEARNED_FILE

    if (folder / LEARNED_FILE).is_file():
        return "npz", str(folder / LEARNED_FILE)
    if has_own_model(record):
        raise RecfaceError(f"the run's own face model is not there ({LEARNED_FILE}; archived copies lack it)")
    used = record.config.get("face_model", {})
    return str(used.get("name", "")), used.get("path")


def read_run(folder: Path, protocol: BenchmarkProtocol, region: Region | None) -> tuple[Predictions, Truth, Region]:
    """The predictions of a run as any method's, with the truth that they hold.

    Args:
        folder: Of the run.
        protocol: Says which part is meant: a control set, the photographs, or else the test set.
        region: In place of the run's own face model's.

    Returns:
        Predictions, truth, and the region of the run's face model.

    Raises:
        RecfaceError: There is no predictions.npz, it lacks the part, or the face model cannot be had.
    """
    from recface.metrics.readers.region import read_region

    record, path = read_record(folder), folder / "predictions.npz"
    if not path.is_file():
        raise RecfaceError(f"{folder}: no predictions.npz; the run is {record.state}")
    arrays = read_arrays(path)
    part = next((name for name, (_, id) in PARTS.items() if id == protocol.id), "test")
    region = region or read_region(*run_model(record, folder))
    return *run_predictions(arrays, part, str(path), has_own_model(record)), region


def run_predictions(
    arrays: Mapping[str, np.ndarray], part: str, where: str, learned: bool = False
) -> tuple[Predictions, Truth]:
    """One part of a run's predictions.npz, as any method's predictions and manifest.

    Args:
        arrays: Content of predictions.npz.
        part: A key of `PARTS`.
        where: Its path, for messages.
        learned: Whether the parameters are of a face model that the run learned: the truth that is stored with them is
            what that model can make of it, and no truth to measure against.

    Returns:
        Predictions with parameters and weights, and their truth.

    Raises:
        RecfaceError: The part is not stored.
    """
    import pandas as pd

    from recface.metrics.functional import MATCHED_BY

    if f"{part}_parameters" not in arrays:
        raise RecfaceError(f"{where}: holds no {part}_parameters")
    parameters = np.asarray(arrays[f"{part}_parameters"], np.float32)
    ids = [f"{part}-{row:05d}" for row in range(len(parameters))]
    columns: dict[str, Any] = {"id": ids, "identity": arrays[f"{part}_identity"].astype(np.int64)}
    if part == "photos":
        columns["expression"] = np.where(arrays["photos_expression"], "neutral", "other")
        columns |= {name: arrays[f"photos_{name}"] for name in MATCHED_BY if f"photos_{name}" in arrays}
    elif part != "test":
        columns["albedo"] = arrays[f"{part}_group"].astype(np.int64)
    elif "test_true" in arrays and not learned:
        people = arrays["test_people"].astype(np.int64)  # each once, in any order
        order = np.argsort(people)
        rows = order[np.searchsorted(people, columns["identity"], sorter=order)]
        columns |= {f"true_{k}": true.astype(np.float32) for k, true in enumerate(arrays["test_true"][rows].T, 1)}
    for name in ("yaw_abs", "expression_norm"):  # of the test set; as gender and ethnicity, missing in older runs
        if f"{part}_{name}" in arrays:
            columns[name] = arrays[f"{part}_{name}"].astype(np.float32)
    weights = np.asarray(arrays["identity_sigma"], np.float32)
    predictions = Predictions(tuple(ids), parameters=parameters, weights=weights, where=where)
    return predictions, Truth(pd.DataFrame(columns), where=where)


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


def markdown() -> str:
    """The same as one Markdown table: id, what it is, unit, source, needs, numbers."""
    rows = []
    for protocol in BENCHMARKS.values():
        unit, numbers = protocol.unit or "none", ", ".join(protocol.values)
        rows.append((f"`{protocol.id}`", summary(protocol), unit, protocol.source, needs(protocol), numbers))
    for block, columns in COLUMNS.items():
        for key, column in columns.items():
            unit = column.unit or "none"
            rows.append((f"`{column.id}`", f"{block} column", unit, "ours; docs/methods.md", "a run", key))
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| id | what | unit | source | needs | numbers |", "|---|---|---|---|---|---|", *lines]) + "\n"


def summary(protocol: BenchmarkProtocol) -> str:
    """The first line of a protocol's docstring."""
    return (type(protocol).__doc__ or "").strip().splitlines()[0]


def needs(protocol: BenchmarkProtocol) -> str:
    """Requirements of a protocol in words: fields of predictions, columns of the manifest, pairs."""
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
