"""Principal components of scans that do not fit in memory, in blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recface.data.scans.scan_set import ScanSet
from recface.face_model.pca import fix_signs

OVERSAMPLING, PASSES = 10, 2


@dataclass(frozen=True)
class Principal:
    """Scans in the coordinates of their principal components: S_i = mean + basis @ scores_i + rest.

    Attributes:
        mean: (3V,) mean scan in mm.
        basis: (3V, M) orthonormal.
        scores: (N, M) in mm.
        rest: Variance per coordinate of what the components leave, mm^2.
    """

    mean: np.ndarray
    basis: np.ndarray
    scores: np.ndarray
    rest: float


def principal_scores(scans: ScanSet, modes: int, seed: int) -> Principal:
    """PCA by random projections and subspace iteration; reads the scans once for the mean and five times more.

    Args:
        scans: N scans; only a block of them is in memory at a time.
        modes: Components M wanted; fewer where the scans have fewer.
        seed: Of the projections; the result depends on it in its last digits only.

    Returns:
        Components in descending order.
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
    for turn in range(PASSES + 1):  # span <- orthonormal basis of X^T X span
        image = np.zeros((dimension, size), np.float32)
        for _, block in scans.blocks():
            block -= mean
            image += block.T @ (block @ span)
        span = np.linalg.qr(image)[0]
        del turn
    coordinates, energy = np.empty((len(scans), size)), 0.0
    for rows, block in scans.blocks():
        block -= mean
        coordinates[rows] = block @ span
        energy += float(np.square(block, dtype=np.float64).sum())
    left, singular, rotation = np.linalg.svd(coordinates, full_matrices=False)
    basis = (span @ rotation[:modes].T.astype(np.float32)).astype(np.float32)
    signs = fix_signs(basis)
    scores = left[:, :modes] * singular[:modes] * signs
    rest = max(energy - float((singular[:modes] ** 2).sum()), 0.0) / (len(scans) * max(dimension - modes, 1))
    return Principal(mean, basis * signs.astype(np.float32), scores, rest)
