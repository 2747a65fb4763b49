"""Linear algebra of free bases: fitting coefficients to shapes, and bringing a basis into the form of a face model."""

from __future__ import annotations

import numpy as np

from recface.face_model.pca import fix_signs


def fit_coefficients(offsets: np.ndarray, basis: np.ndarray, precision: np.ndarray | None = None) -> np.ndarray:
    """Coefficients z that minimise ||offset - basis z||^2 + z^T precision z, one row each.

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

    The thin SVD A = U diag(sigma) W^T gives a = W^T x. W is a rotation, so norms and angles of latents stay, and with
    them a hypersphere. Exact for every A of full rank: docs/sfm.md, stage 1.

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
