"""Means, errors and paired intervals over seeds and identities. Pure functions on arrays.

A bootstrap replicate draws seeds and identities with replacement. An identity drawn twice counts with weight 2, a pair
of identities with the product of their weights; so one matrix of weights, drawn once, serves every row and every
metric, and differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean over seeds with its standard error s / sqrt(n), s with n - 1.

    Args:
        values: One value a seed, at least one.

    Returns:
        Mean, and standard error; None for a single seed.
    """
    array = np.asarray(values, float)
    error = float(array.std(ddof=1) / np.sqrt(array.size)) if array.size > 1 else None
    return float(array.mean()), error


def paired_t_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean of per-seed differences; None for fewer than two seeds.

    Args:
        differences: Row minus parent, one a seed.
        level: Coverage.

    Returns:
        Lower and upper end.
    """
    from scipy.special import stdtrit  # a tenth of the start-up time of scipy.stats, the same quantile

    mean, error = mean_and_error(differences)
    if error is None:
        return None
    half = float(stdtrit(len(differences) - 1, 0.5 + level / 2)) * error
    return mean - half, mean + half


def percentile_interval(replicates: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval.

    Args:
        replicates: (R,) replicates; NaN ones (a draw without any genuine pair) are left out.
        level: Coverage.

    Returns:
        Lower and upper end.
    """
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(replicates, [tail, 100 - tail])
    return float(low), float(high)


def draw_weights(count: int, replicates: int, seed: int) -> Array:
    """Multiplicities of a bootstrap draw with replacement.

    Args:
        count: Units to draw from, and number drawn.
        replicates: R.
        seed: Same seed, same draws.

    Returns:
        (count, R) float32, each column sums to count.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=replicates)
    return np.ascontiguousarray(drawn.T, dtype=np.float32)


def over_seeds(replicates: Array, seed_weights: Array) -> Array:
    """Average the replicates of the seeds that were drawn.

    Args:
        replicates: (S, R) of each seed.
        seed_weights: (S, R) multiplicities.

    Returns:
        (R,) replicates of the mean over seeds.
    """
    return (replicates * seed_weights).sum(0) / seed_weights.sum(0)


def grouped_mean(values: Array, groups: Array, weights: Array) -> Array:
    """Replicates of a mean: photos are averaged within their identity, then identities are resampled.

    Args:
        values: (N,) one value a photo; NaN ones are left out.
        groups: (N,) identity as 0 .. P-1.
        weights: (P, R) multiplicities.

    Returns:
        (R,) means.
    """
    valid = np.isfinite(values)
    counts = np.bincount(groups[valid], minlength=len(weights))
    sums = np.bincount(groups[valid], weights=values[valid], minlength=len(weights))
    present = counts > 0
    means = sums[present] / counts[present]
    chosen = weights[present].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return means @ chosen / chosen.sum(0)


def prior_kl(parameters: Array, groups: Array, weights: Array) -> Array:
    """Replicates of the prior distance: KL of each dimension's Gaussian to N(0, 1), averaged (methods.md, SIR).

    Args:
        parameters: (N, K) whitened.
        groups: (N,) identity as 0 .. P-1.
        weights: (P, R) multiplicities.

    Returns:
        (R,) values, with the population variance.
    """
    count, first, second = _moments(parameters, groups, len(weights))
    total = count @ weights
    mean = (first.T @ weights) / total
    variance = np.maximum((second.T @ weights) / total - mean**2, 1e-12)
    return 0.5 * (variance + mean**2 - 1 - np.log(variance)).mean(0)


def nmcd(points: Array, groups: Array, weights: Array) -> Array:
    """Replicates of NMCD: mean ||x - c_y||^2 over mean_{i != j} ||c_i - c_j||^2 (methods.md, SFM).

    Args:
        points: (N, D).
        groups: (N,) identity as 0 .. P-1, none empty.
        weights: (P, R) multiplicities.

    Returns:
        (R,) values. Copies of one identity are no pair.
    """
    count, first, second = _moments(points, groups, len(weights))
    centres = first / count[:, None]
    within = second.sum(1) - count * (centres**2).sum(1)
    spread = (within @ weights) / (count @ weights)
    square = (centres**2).sum(1)
    between = square[:, None] + square[None] - 2 * centres @ centres.T
    np.fill_diagonal(between, 0)
    weights = weights.astype(np.float64)
    pairs = weights.sum(0) ** 2 - (weights**2).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return spread / ((weights * (between @ weights)).sum(0) / pairs)


def _moments(points: Array, groups: Array, size: int) -> tuple[Array, Array, Array]:
    """Photos, sums and sums of squares of each identity: (P,), (P, D), (P, D)."""
    points = np.asarray(points, np.float64)
    member = np.zeros((size, len(points)))
    member[groups, np.arange(len(points))] = 1
    return member.sum(1), member @ points, member @ points**2
