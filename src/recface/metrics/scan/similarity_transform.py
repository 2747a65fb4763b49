"""Checks of points in millimetres: each failure is one line that says what is wrong, where, and what to do.

Similarity transforms, and their least-squares fit to corresponding landmarks.

Which points of a scan count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.linear import similarity
from recface.face_model.mesh_files import diagonal, require_millimetres

FLAT = 1e-6  # second singular value of the landmarks over the first, below which they lie on a line


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation; the rotation is proper, so it never reflects.

    Attributes:
        scale: Positive.
        rotation: (3, 3), determinant +1.
        translation: (3,).
    """

    scale: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Moves (..., 3) points."""
        return self.scale * np.asarray(points) @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """The map back."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """The map that does `first`, then this one."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self(first.translation))


def procrustes(source: np.ndarray, target: np.ndarray, *, with_scale: bool) -> Similarity:
    """Least-squares transform of corresponding points, by way of `recface.face_model.linear.similarity`.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns"; without
    scale it is Kabsch 1976, whose rotation is the same. Public NoW code allows a reflection here; ours never reflects.

    Args:
        source: (P, 3), P at least 3.
        target: (P, 3), in correspondence.
        with_scale: Whether the size is fitted too; else it is kept.

    Returns:
        The transform that moves source onto target.

    Raises:
        RecfaceError: For mismatched sizes, values that are not finite, or points on one line, which leave the rotation
            open.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape[1:] != (3,) or source.shape != target.shape or len(source) < 3:
        raise RecfaceError(
            f"landmarks {source.shape} cannot be aligned to {target.shape}: expected (P, 3) and (P, 3), P at least 3"
        )
    for name, points in (("to align", source), ("to align to", target)):
        if not np.isfinite(points).all():
            row = int((~np.isfinite(points)).any(axis=1).argmax())
            raise RecfaceError(f"landmarks {name}: landmark {row} is not finite; measure it, or leave the sample out")
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] <= FLAT * spread[0]:
            raise RecfaceError(f"landmarks {name} lie on one line or coincide; three that span a plane are needed")
    scale, rotation, translation = similarity(source, target)
    if not with_scale:
        scale, translation = 1.0, target.mean(axis=0) - rotation @ source.mean(axis=0)
    return Similarity(scale, rotation, translation)


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
