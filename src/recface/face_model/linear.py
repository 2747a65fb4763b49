"""Linear algebra of shapes: alignment, principal components, fits, and a free basis in the form of a face model."""

from __future__ import annotations

import numpy as np


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Least-squares similarity of points (N, 3): target ~ scale * source @ rotation.T + translation.

    The rotation has determinant +1. Source: Umeyama, "Least-squares estimation of transformation parameters", TPAMI
    1991.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * flip) @ vt
    scale = float((s * flip).sum() / (a**2).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


def align_population(shapes: np.ndarray, region: np.ndarray, iterations: int = 5) -> np.ndarray:
    """Generalized Procrustes alignment of shapes (B, V, 3) on a region (V,); the mean keeps its average size.

    After a few rounds, the mean moves by less than 1e-6 mm. Source: Gower, "Generalized Procrustes analysis",
    Psychometrika 1975.
    """
    sizes = np.linalg.norm(shapes[:, region] - shapes[:, region].mean(axis=1, keepdims=True), axis=(1, 2))
    size, mean, aligned = sizes.mean(), shapes.mean(axis=0), shapes
    for _ in range(iterations):
        anchor = mean[region] - mean[region].mean(axis=0)
        anchor *= size / np.linalg.norm(anchor)
        fits = [similarity(shape[region], anchor) for shape in shapes]
        aligned = np.stack([s * shape @ r.T + t for (s, r, t), shape in zip(fits, shapes, strict=True)])
        mean = aligned.mean(axis=0)
    return aligned


def principal_components(
    shapes: np.ndarray, modes: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PCA whose subspace is chosen by weighted variance, and whose basis is orthonormal in the plain metric.

    A head varies most at the neck and the back of the skull, where no metric looks. So the weights decide *which*
    subspace of dimension K is kept; within it, an unweighted SVD gives orthonormal columns and standard
    deviations.

    Args:
        shapes: (B, V, 3) aligned shapes.
        modes: Number of modes K.
        weights: (V,) weight of every vertex.

    Returns:
        mean (V, 3), basis (3V, K), sigma (K,) descending, in the unit of the shapes. Source: ours; K = B - 1 is plain
        PCA.
    """
    mean = shapes.mean(axis=0)
    centered = (shapes - mean).reshape(len(shapes), -1)
    scores = np.linalg.svd(centered * np.repeat(np.sqrt(weights), 3), full_matrices=False)[0][:, :modes]
    kept = scores.T @ centered  # least squares: the scores are orthonormal over the population
    _, singular, rows = np.linalg.svd(kept, full_matrices=False)
    basis = rows.T
    return mean, basis * fix_signs(basis), singular / np.sqrt(len(shapes) - 1)


def fit_coefficients(offsets: np.ndarray, basis: np.ndarray, precision: np.ndarray | None = None) -> np.ndarray:
    """Coefficients z that minimize ||offset - basis z||^2 + z^T precision z, one row each.

    Args:
        offsets: (N, D) shapes without their mean.
        basis: (D, M), any columns.
        precision: (M, M) or (M,) diagonal, in squared units of the offsets; None is plain least squares, of least norm
            where columns are dependent.

    Returns:
        (N, M). With a precision of noise variance times inverse prior covariance, the posterior mean of z.
        Source: elementary (ridge regression; Blanz and Vetter, SIGGRAPH 1999, section 4 have it as MAP).
    """
    basis = basis.astype(np.float64)
    if precision is None:
        return np.linalg.lstsq(basis, offsets.T.astype(np.float64), rcond=None)[0].T
    gram = basis.T @ basis + (np.diag(precision) if np.ndim(precision) == 1 else precision)
    return np.linalg.solve(gram, basis.T @ offsets.T).T


def export_basis(
    basis: np.ndarray, latents: np.ndarray, axes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A free basis as orthonormal columns with standard deviations, and latents to match: A x = U diag(sigma) a.

    The thin SVD A = U diag(sigma) W^T gives a = W^T x. W is a rotation, so latents keep their norms and angles, and
    with them a hypersphere or a distribution N(0, I). Exact for every A of full rank: docs/sfm.md, stage 1.

    Args:
        basis: (M, K) free basis A, in mm per unit of latent.
        latents: (N, K) latents x.
        axes: (D, M) orthonormal axes of the coordinates that the basis is given in; None where it is given on the mesh.

    Returns:
        U (D, K) with orthonormal columns, sigma (K,) descending in mm, a (N, K). Source: ours, elementary.
    """
    columns, sigma, rotation = np.linalg.svd(np.asarray(basis, np.float64), full_matrices=False)
    columns = columns if axes is None else axes @ columns
    signs = fix_signs(columns)
    return columns * signs, sigma, np.asarray(latents, np.float64) @ rotation.T * signs


def fix_signs(columns: np.ndarray) -> np.ndarray:
    """Signs (K,) that make the largest absolute entry of every column positive, so that an SVD is reproducible.

    As scikit-learn's `svd_flip`, but near-ties are broken towards the first entry: mirrored vertices have entries equal
    up to rounding.
    """
    size = np.abs(columns)
    first_largest = (size >= size.max(axis=0) * (1 - 1e-6)).argmax(axis=0)
    return np.where(np.take_along_axis(columns, first_largest[None], axis=0)[0] < 0, -1.0, 1.0)
