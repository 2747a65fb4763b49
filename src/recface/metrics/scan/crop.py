"""Which points of a scan count."""

import numpy as np

from recface.errors import RecfaceError


def sphere_crop(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Points inside a sphere, its surface included.

    Source: the crops of NoW and of MICC (methods.md, "Evaluation protocols"): Euclidean, not geodesic.

    Args:
        points: (N, 3).
        centre: (3,), such as the tip of the nose.
        radius: In the unit of the points.

    Returns:
        (N,) bool.

    Raises:
        RecfaceError: Where no point is inside.
    """
    inside = np.sum((points - centre) ** 2, axis=1) <= radius**2
    if not inside.any():
        raise RecfaceError(
            f"no scan point within {radius:.0f} mm of ({', '.join(f'{value:.0f}' for value in centre)}); are scan and "
            "landmarks in one frame?"
        )
    return inside
