"""What a linear shape model can and cannot represent: generalisation, compactness and specificity.

Source: Davies, *Learning shape: optimal models for analysing natural variability*, PhD thesis, Manchester 2002, and
Styner et al., "Evaluation of 3D correspondence methods for model building", IPMI 2003. Distances in mm per vertex are
ours, as is fitting by least squares where modes are not orthogonal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recface.errors import RecfaceError

Array = np.ndarray


def nested_axes(basis: Array) -> Array:
    """Orthonormal columns (D, M) whose first m span what the first m columns of a basis (D, M) span.

    Raises:
        RecfaceError: Columns that are linearly dependent, or not finite.
    """
    if not np.isfinite(basis).all():
        raise RecfaceError("the basis is not finite; did training diverge?")
    axes, triangle = np.linalg.qr(np.asarray(basis, np.float64))
    size = np.abs(np.diag(triangle))
    if len(size) == 0 or size.min() <= 1e-9 * size.max():
        raise RecfaceError(f"the {basis.shape[1]} modes are linearly dependent; fit fewer modes")
    return axes


def vertex_distance(first: Array, second: Array) -> Array:
    """Mean distance of corresponding vertices, mm: (...,) from two broadcastable (..., 3V)."""
    difference = np.asarray(first, np.float64) - second
    return np.linalg.norm(difference.reshape(*difference.shape[:-1], -1, 3), axis=-1).mean(axis=-1)


def generalisation(offsets: Array, axes: Array, sizes: Sequence[int], truth: Array | None = None) -> dict[int, float]:
    """Mean per-vertex error of unseen shapes fitted with a model's first modes, by number of modes.

    Args:
        offsets: (N, D) unseen shapes without the model's mean, mm.
        axes: (D, M) of `nested_axes`; the fit is by least squares over all coordinates, without a prior.
        sizes: Numbers of modes, each at most M.
        truth: (N, D) what the error is measured against; the fitted shapes themselves unless given.

    Returns:
        Size to mm, mean over shapes.

    Raises:
        RecfaceError: A size above M.
    """
    if max(sizes) > axes.shape[1]:
        raise RecfaceError(f"generalisation with {max(sizes)} modes: the model has {axes.shape[1]}; ask for fewer")
    truth = offsets if truth is None else truth
    coordinates = offsets @ axes
    return {m: float(vertex_distance(coordinates[:, :m] @ axes[:, :m].T, truth).mean()) for m in sizes}


def compactness(offsets: Iterable[Array], axes: Array, sizes: Sequence[int]) -> tuple[dict[int, float], float]:
    """Share of the variance of training shapes that lies in the span of a model's first modes.

    Args:
        offsets: Blocks (B, D) of training shapes without their mean, mm.
        axes: (D, M) of `nested_axes`.
        sizes: Numbers of modes.

    Returns:
        Size to share in 0..1, for PCA the usual cumulative sum of eigenvalues over their total; and the variance of a
        coordinate that all modes leave, mm^2.
    """
    kept, total, count = np.zeros(axes.shape[1]), 0.0, 0
    for block in offsets:
        kept += np.square(block @ axes).sum(axis=0)
        total += float(np.square(block, dtype=np.float64).sum())
        count += len(block)
    shares = np.cumsum(kept) / total
    left = total * (1 - shares[-1]) / (count * len(axes))
    return {m: float(shares[m - 1]) for m in sizes}, float(left)


def specificity(samples: Array, scans: Iterable[Array]) -> float:
    """Mean per-vertex distance of random shapes of a model to the true scan nearest to each.

    The nearest is found by root mean square distance, which is one matrix product; reported is the mean distance to it.

    Args:
        samples: (S, D) random shapes, mm.
        scans: Blocks (B, D) of true scans, mm.

    Returns:
        mm; small means that the model's random shapes look like real ones.
    """
    nearest, best = np.empty_like(samples), np.full(len(samples), np.inf)
    energy = np.square(samples, dtype=np.float64).sum(axis=1)
    for block in scans:
        squared = energy[:, None] - 2.0 * (samples @ block.T) + np.square(block, dtype=np.float64).sum(axis=1)
        closest = squared.argmin(axis=1)
        distance = squared[np.arange(len(samples)), closest]
        closer = distance < best
        nearest[closer], best[closer] = block[closest[closer]], distance[closer]
    return float(vertex_distance(samples, nearest).mean())
