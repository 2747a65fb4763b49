"""Checks of points in millimetres: each failure is one line that says what is wrong, where, and what to do."""

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.mesh_files import diagonal, require_millimetres

SMALLEST_MM, LARGEST_MM = 60.0, 3000.0
"""Diagonals of the boxes round a face crop and round a bust with shoulders, with room to spare; ours."""


def require_points(points: np.ndarray, name: str) -> np.ndarray:
    """The points as float64.

    Raises:
        RecfaceError: Unless they are (N, 3), at least one, and finite; the first bad row is named.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise RecfaceError(f"{name} have shape {points.shape}, expected (N, 3) with N at least 1")
    points = points.astype(np.float64, copy=False)
    if not np.isfinite(points).all():
        rows = (~np.isfinite(points)).any(axis=1)
        raise RecfaceError(
            f"{name}: row {int(rows.argmax())} of {len(points)} is not finite ({int(rows.sum())} such rows); "
            "remove or mend them"
        )
    return points


def require_face(points: np.ndarray, name: str) -> None:
    """Raise RecfaceError where the diagonal of (N, 3) points is not that of a face, head or bust in millimetres."""
    require_millimetres(diagonal(points), SMALLEST_MM, LARGEST_MM, name)
