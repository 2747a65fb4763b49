"""Checks of what is read: each failure is one line with the file and the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.mesh_files import require_millimetres

SMALLEST_MM, LARGEST_MM = 40.0, 1000.0
"""Of the diagonal of a face's or head's bounding box."""
CHUNK = 256


def require_unique(ids: Sequence[str], where: str, place: Callable[[int], str]) -> None:
    """Raise RecfaceError naming the second of two equal ids, and the row of the first.

    Args:
        ids: N ids.
        where: their file.
        place: from a row to how a user finds it, such as "line 3".
    """
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in seen:
            raise RecfaceError(f"{where}: {place(row)}: id {name} is there twice (first in {place(seen[name])})")
        seen[name] = row


def require_finite_rows(name: str, values: np.ndarray, where: str, place: Callable[[int], str]) -> None:
    """Raise RecfaceError naming the first row of `values` (N, ...) that holds NaN or infinity."""
    for start in range(0, len(values), CHUNK):
        chunk = np.asarray(values[start : start + CHUNK])
        bad = np.flatnonzero(~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1))
        if bad.size:
            raise RecfaceError(f"{where}: {place(start + int(bad[0]))}: {name} hold NaN or infinity; predict it again")


def require_shapes_in_mm(values: np.ndarray, where: str, place: Callable[[int], str]) -> None:
    """Raise RecfaceError where a shape of `values` (N, V, 3) is too small or too large for a face in millimetres.

    The diagonal of its bounding box must lie between 40 and 1,000 mm: a face's is about 250, a head's about 400.
    """
    for start in range(0, len(values), CHUNK):
        chunk = np.asarray(values[start : start + CHUNK], np.float64)
        for row, size in enumerate(np.linalg.norm(chunk.max(axis=1) - chunk.min(axis=1), axis=-1), start):
            require_millimetres(float(size), SMALLEST_MM, LARGEST_MM, f"{where}: {place(row)}")
