"""Principal coordinates of scans, in which stage 1 computes, and its start from PCAs between and within people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recface.face_model.linear import fit_coefficients, fix_signs
from recface.face_model.surface import graph_laplacian, reflect
from recface.scan_stage.scans import ScanSet

OVERSAMPLING, PASSES = 10, 1  # of the random projections
SPARE = 40  # components beyond those of identity and expression
ROUNDS = 4  # of refinement of means and expressions
UNIT_SPREAD = 0.3  # prior standard deviation of a known unit's coefficient, which lies in 0..1


@dataclass(frozen=True)
class Principal:
    """S_i = mean + axes @ scores_i + rest. Axes are orthonormal, so lengths and angles in the span are kept."""

    mean: np.ndarray  # (3V,) mean scan in mm
    axes: np.ndarray  # (3V, M) orthonormal, principal components in descending order
    scores: np.ndarray  # (N, M) in mm
    rest: float  # residual variance per coordinate, mm^2

    def roughness(self, triangles: np.ndarray) -> np.ndarray:
        """(M, M) matrix G with ||L (axes c)||^2 = c^T G c, where L is the mesh's uniform graph Laplacian."""
        vertices = len(self.mean) // 3
        rough = (graph_laplacian(triangles, vertices) @ self.axes.reshape(vertices, -1)).reshape(self.axes.shape)
        return rough.T @ rough

    def reflection(self, mirror: np.ndarray) -> np.ndarray:
        """(M, M) matrix R: `axes @ R @ c` is the projection of the mirror image of the offset `axes @ c`."""
        fields = self.axes.T.reshape(-1, len(mirror), 3)
        return self.axes.T @ reflect(fields, mirror).reshape(len(fields), -1).T


def principal_scores(scans: ScanSet, modes: int, seed: int) -> Principal:
    """PCA by random projections and subspace iteration, which reads the scans four times, a block at a time.

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


@dataclass
class ScanStart:
    """score_i = shift + identity_basis x_i + expression_basis e_i in M principal coordinates, in mm; x ~ N(0, I)."""

    mean: np.ndarray  # (3V,) the shape at x = 0, e = 0
    shift: np.ndarray  # (M,) its principal coordinates
    identity_basis: np.ndarray  # (M, K)
    expression_basis: np.ndarray  # (M, E)
    latents: np.ndarray  # (N, K) x of each scan
    expression: np.ndarray  # (N, E) e of each scan


def person_means(values: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Mean row of each person, (P, D), of (N, D) rows."""
    sums = np.zeros((int(identity.max()) + 1, values.shape[1]))
    np.add.at(sums, identity, values)
    return sums / np.bincount(identity)[:, None]


def leading(rows: np.ndarray, modes: int, freedom: int) -> tuple[np.ndarray, float]:
    """Leading axes (D, modes) of rows about their origin, each as long as its deviation; and the residual variance."""
    _, singular, axes = np.linalg.svd(rows, full_matrices=False)
    return axes[:modes].T * (singular[:modes] / np.sqrt(freedom)), float((singular[modes:] ** 2).sum() / freedom)


def two_part_start(
    principal: Principal, identity: np.ndarray, modes: int, expression_modes: int, blend: np.ndarray | None
) -> ScanStart:
    """PCA of the person means and, unless an expression basis is known, of the residuals within people.

    The mean of a person's scans may contain some expression. Means and expressions are therefore refined in turn:
    expressions are fitted jointly with identity and subtracted, and the means computed again. Ours.

    Args:
        principal: The scans in principal coordinates, with enough modes.
        identity: (N,) person of each scan.
        modes: Identity modes K, fewer than people.
        expression_modes: Expression modes E of a learned basis.
        blend: (3V, E) known expression basis, or None.
    """
    scores, people = principal.scores, int(identity.max()) + 1
    within = scores - person_means(scores, identity)[identity]
    if blend is None:
        axes, _ = leading(within, expression_modes, max(len(within) - people, 1))
    else:
        axes = principal.axes.T.astype(np.float64) @ blend
    noise = max(principal.rest, 1e-6)
    spread = np.full(axes.shape[1], 1.0 if blend is None else UNIT_SPREAD)
    expression = fit_coefficients(within, axes, noise / spread**2)
    for _ in range(ROUNDS):
        means = person_means(scores - expression @ axes.T, identity)
        shape, left = leading(means - means.mean(axis=0), modes, people - 1)
        # Differences between people beyond the modes are noise to the fit; otherwise expressions would absorb them.
        noise = max(principal.rest, left / scores.shape[1], 1e-6)
        both = fit_coefficients(
            scores, np.concatenate([shape, axes], axis=1), noise / np.concatenate([np.ones(modes), spread]) ** 2
        )
        latents, expression = both[:, :modes], both[:, modes:]
    mean, shift = principal.mean.astype(np.float64), np.zeros(scores.shape[1])
    if blend is not None:
        # Few scans move a given unit, so the median of its coefficients is its rest; the mean moves all a little.
        rest = np.median(expression, axis=0)
        mean, shift, expression = mean + blend @ rest, axes @ rest, expression - rest
    return ScanStart(mean, shift, shape, axes, latents, expression)
