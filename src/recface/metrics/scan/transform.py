"""Similarity transforms, and their least-squares fit to corresponding landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.pca import similarity

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
    """Least-squares transform of corresponding points, by way of `recface.face_model.pca.similarity`.

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
