"""Checks of points in millimetres: each failure is one line that says what is wrong, where, and what to do."""

import numpy as np

from recface.errors import RecfaceError

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


def require_millimetres(points: np.ndarray, name: str) -> None:
    """Whether (N, 3) points have the size of a face in millimetres.

    Source: ours; a similarity alignment would hide a wrong unit, a metrical protocol would report it as an error.

    Raises:
        RecfaceError: Where the diagonal of their box is not that of a face; the likely unit is named.
    """
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    if SMALLEST_MM <= diagonal <= LARGEST_MM:
        return
    units = {"metres": 1000.0, "centimetres": 10.0, "micrometres": 0.001}
    likely = [unit for unit, factor in units.items() if SMALLEST_MM <= diagonal * factor <= LARGEST_MM]
    guess = f"; are these {likely[0]}? Multiply by {units[likely[0]]:g}" if likely else "; give them in millimetres"
    raise RecfaceError(f"{name}: {diagonal:.3g} mm across is no face in millimetres{guess}")
