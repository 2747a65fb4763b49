"""Left-right symmetry of a mesh: which vertex mirrors which."""

import numpy as np
from scipy.spatial import cKDTree

from recface.errors import RecfaceError

REFLECTION = np.array([-1.0, 1.0, 1.0])


def find_mirror(vertices: np.ndarray, tolerance: float) -> np.ndarray:
    """Find the mirror image of every vertex in the plane x = 0, by nearest neighbour.

    Args:
        vertices: (V, 3).
        tolerance: largest distance allowed between a reflected vertex and its partner, in the unit of the vertices.

    Returns:
        (V,) int64, an involution.

    Raises:
        RecfaceError: the mesh is not symmetric to the tolerance. Source: ours.
    """
    distance, mirror = cKDTree(vertices).query(vertices * REFLECTION)
    broken = (mirror[mirror] != np.arange(len(vertices))).sum()
    if broken or distance.max() > tolerance:
        raise RecfaceError(
            f"the face mesh is not symmetric: {broken} vertices without partner, worst distance {distance.max():.3g} "
            f"(allowed {tolerance:g}): give a symmetric template, with x = 0 as its symmetry plane"
        )
    return mirror.astype(np.int64)


def reflect(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mirror shapes (or displacement fields) left to right, in correspondence.

    Args:
        shapes: (..., V, 3).
        mirror: (V,) index of every vertex's mirror image.

    Returns:
        (..., V, 3).
    """
    return shapes[..., mirror, :] * REFLECTION


def symmetrise(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Symmetric part of shapes: their mean with their mirror image, (..., V, 3)."""
    return 0.5 * (shapes + reflect(shapes, mirror))
