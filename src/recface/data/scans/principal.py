"""Scans in the coordinates of their principal components, found in blocks of rows: what stage 1 computes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recface.data.scans.scan_set import ScanSet
from recface.face_model.pca import fix_signs
from recface.face_model.symmetry import reflect
from recface.face_model.transfer import graph_laplacian

OVERSAMPLING, PASSES = 10, 1


@dataclass(frozen=True)
class Principal:
    """S_i = mean + axes @ scores_i + rest. Axes are orthonormal, so lengths and angles in the span are kept.

    Attributes:
        mean: (3V,) mean scan in mm.
        axes: (3V, M) orthonormal, principal components in descending order.
        scores: (N, M) in mm.
        rest: Variance per coordinate of what the components leave, mm^2.
    """

    mean: np.ndarray
    axes: np.ndarray
    scores: np.ndarray
    rest: float

    @property
    def num_vertices(self) -> int:
        """Vertices V."""
        return len(self.mean) // 3

    def roughness(self, triangles: np.ndarray) -> np.ndarray:
        """(M, M) matrix G with ||L (axes c)||^2 = c^T G c, where L is the mesh's uniform graph Laplacian."""
        fields = self.axes.reshape(self.num_vertices, -1)
        rough = (graph_laplacian(triangles, self.num_vertices) @ fields).reshape(self.axes.shape)
        return rough.T @ rough

    def reflection(self, mirror: np.ndarray) -> np.ndarray:
        """(M, M) matrix R: `axes @ R @ c` is the part in the span of the mirror image of the offset `axes @ c`."""
        fields = self.axes.T.reshape(-1, self.num_vertices, 3)
        return self.axes.T @ reflect(fields, mirror).reshape(self.axes.shape[1], -1).T


def principal_scores(scans: ScanSet, modes: int, seed: int) -> Principal:
    """PCA by random projections and subspace iteration; reads the scans once for the mean and three times more.

    Args:
        scans: N scans; only a block of them is in memory at a time.
        modes: Components M wanted; fewer where the scans have fewer.
        seed: Of the projections.

    Returns:
        The components.
        Source: Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, algorithms 4.4, 5.1.
    """
    dimension = 3 * scans.num_vertices
    modes = min(modes, len(scans) - 1, dimension)
    size = min(modes + OVERSAMPLING, len(scans), dimension)
    total = np.zeros(dimension)
    for _, block in scans.blocks():
        total += block.sum(axis=0, dtype=np.float64)
    mean = (total / len(scans)).astype(np.float32)
    span = np.random.default_rng(seed).normal(size=(dimension, size)).astype(np.float32)
    for _ in range(PASSES + 1):  # span <- an orthonormal basis of X^T X span
        image = np.zeros((dimension, size), np.float32)
        for _, block in scans.blocks():
            block -= mean
            image += block.T @ (block @ span)
        span = np.linalg.qr(image)[0]
    coordinates, energy = np.empty((len(scans), size)), 0.0
    for rows, block in scans.blocks():
        block -= mean
        coordinates[rows] = block @ span
        energy += float(np.square(block, dtype=np.float64).sum())
    left, singular, rotation = np.linalg.svd(coordinates, full_matrices=False)
    axes = span @ rotation[:modes].T.astype(np.float32)
    signs = fix_signs(axes)
    scores = left[:, :modes] * singular[:modes] * signs
    rest = max(energy - float((singular[:modes] ** 2).sum()), 0.0) / (len(scans) * max(dimension - modes, 1))
    return Principal(mean, axes * signs.astype(np.float32), scores, rest)
