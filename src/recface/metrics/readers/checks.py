"""What every form of predictions must hold: known fields, agreeing shapes, finite numbers, faces in millimeters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.files.meshes import require_millimeters
from recface.files.tables import line_of
from recface.metrics.protocols.protocol import Predictions

SMALLEST_MM, LARGEST_MM = 40.0, 1000.0
"""Limits for the diagonal of a shape's bounding box: a face's is about 250 mm, a head's about 400."""
CHUNK = 256
REMEDY = "write it again (docs/protocols.md has the forms)"
FIELD_SHAPES = {
    "parameters": ("N", "K"),
    "mirrored": ("N", "K"),
    "vertices": ("N", "V", 3),
    "points": ("N", "P", 3),
    "landmarks": ("N", 68, 2),
    "weights": ("K",),
    "triangles": ("F", 3),
}
PER_SAMPLE = tuple(name for name, shape in FIELD_SHAPES.items() if shape[0] == "N")


def require_unique(ids: list[str], where: str, place: Callable[[int], str]) -> None:
    """Raise RecfaceError naming the second of two equal ids, and the row of the first.

    `where` is their file, and `place` turns a row into how a user finds it, such as "line 3".
    """
    if (twice := pd.Index(ids).duplicated()).any():
        row = int(twice.argmax())
        first = place(ids.index(ids[row]))
        raise RecfaceError(f"{where}: {place(row)}: id {ids[row]} is there twice (first in {first})")


def unique_ids(table: pd.DataFrame, path: Path) -> list[str]:
    """The column `id` of a file's table; raises RecfaceError for an id that is there twice."""
    ids: list[str] = table["id"].tolist()
    require_unique(ids, str(path), lambda row: f"line {line_of(table, row)}")
    return ids


def check_shape(name: str, array: np.ndarray, sizes: dict[str, int], file: Path, ids: str) -> None:
    """Compare a shape with `FIELD_SHAPES`; the first array that has a size fixes it for the others."""
    expected = FIELD_SHAPES[name]
    form = str(expected).replace("'", "")
    if array.dtype.kind not in "fiu" or array.ndim != len(expected):
        raise RecfaceError(f"{file}: {name} is {array.dtype} {array.shape}, expected numbers {form}")
    for size, axis in zip(array.shape, expected, strict=True):
        wanted = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != wanted:
            why = f": {ids} has {sizes['N']} ids" if axis == "N" else ""
            raise RecfaceError(f"{file}: {name} has shape {array.shape}, expected {form}{why}")


def checked(
    predictions: Predictions, where: str, files: list[str] | None = None, millimeters: float = 1.0
) -> Predictions:
    """Require finite numbers and faces in mm; `files` name the rows in messages, where each is a file of its own.

    Vertices and points come in a unit of so many millimeters, and leave in millimeters.
    """
    if millimeters != 1:
        found = {name: values for name in ("vertices", "points") if (values := getattr(predictions, name)) is not None}
        predictions = replace(predictions, **{name: values * millimeters for name, values in found.items()})

    def place(row: int) -> str:
        return files[row] if files else f"row {row} (id {predictions.ids[row]})"

    for name in PER_SAMPLE:
        values = getattr(predictions, name)
        for start in range(0, 0 if values is None else len(values), CHUNK):
            chunk = np.asarray(values[start : start + CHUNK])
            bad = np.flatnonzero(~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1))
            if bad.size:
                row = start + int(bad[0])
                raise RecfaceError(f"{where}: {place(row)}: {name} hold NaN or infinity; predict it again")
            if name == "vertices":
                sizes = np.linalg.norm(np.ptp(chunk.astype(np.float64), axis=1), axis=-1)
                for row, size in enumerate(sizes.tolist(), start):
                    require_millimeters(size, SMALLEST_MM, LARGEST_MM, f"{where}: {place(row)}")
    weights = predictions.weights
    if weights is not None and not (np.isfinite(weights).all() and weights.min() > 0):
        raise RecfaceError(f"{where}: weights hold values that are not above 0")
    return predictions
