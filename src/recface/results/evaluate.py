"""One method under one protocol: predictions and a manifest in, numbers and counts out."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS, BenchmarkProtocol

SCHEMA = "recface-evaluation/1"


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
    from recface.metrics.readers.face_model import read_region, with_region

    protocol = find_protocol(protocol_id)
    region = read_region(*split_model(face_model)) if face_model else None
    if (predictions / "run.json").is_file():
        from recface.results.stored import read_run

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
    if any(name == column.id for column in (*PROTOCOLS.values(), *PHOTO_PROTOCOLS.values())):
        raise RecfaceError(f"{name} is a column of our benchmark: take benchmark-shapes/v1 or benchmark-photos/v1")
    near = difflib.get_close_matches(name, BENCHMARKS, n=3, cutoff=0.5)
    raise RecfaceError(f"no protocol {name}; {'near are ' + ', '.join(near) if near else '--list names them'}")


def split_model(text: str) -> tuple[str, str | None]:
    """Name and path of NAME=PATH; None where no path is given."""
    name, _, path = text.partition("=")
    return name, path or None
