"""Tests of differences between rows, over random seeds and test people. Pure functions on arrays.

A run scatters with its seed, and its test people are a sample. Every run stores the influence of each test person on
each metric: P times the derivative of the metric with respect to the person's weight, at weights of one. The variance
of a metric over samples of P people is then var(influence) / P, the infinitesimal jackknife (Efron and Stein, *The
Jackknife Estimate of Variance*, Annals of Statistics 9, 1981), without any resampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Array = np.ndarray
Value = TypeVar("Value", float, Array)
LEVEL = 0.05
"""A difference whose corrected p value is below this is marked."""
BOTH, PEOPLE, SEEDS, NEITHER = "seeds and people", "people", "seeds", ""


@dataclass(frozen=True)
class Result:
    """A test of "the difference is zero"."""

    method: str = NEITHER  # what varies: `BOTH`, `PEOPLE`, `SEEDS`, or `NEITHER` where there is no interval
    low: float | None = None  # lower end of the 95% interval
    high: float | None = None  # upper end
    p: float | None = None  # two-sided p value


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean over seeds with its standard error s / sqrt(n), s with n - 1; no error for a single seed."""
    array = np.asarray(values, float)
    error = float(array.std(ddof=1) / np.sqrt(array.size)) if array.size > 1 else None
    return float(array.mean()), error


def compare(differences: Sequence[float], influences: Array | None = None) -> Result:
    """Test the mean of per-seed differences of two rows that saw the same people.

    Source: the variance of Obuchowski and Rockette (*Hypothesis testing of diagnostic accuracy for multiple readers and
    multiple tests*, Communications in Statistics 24, 1995) for paired differences, with seeds as readers and people as
    cases: s^2 / S + max(Cov, 0), where s^2 is the variance over S seeds and Cov the mean covariance over people between
    two seeds. s^2 / S alone treats people as fixed. Each part has the half-length of a Student interval, with S - 1 and
    P - 1 degrees of freedom, and their squares add up (Zou and Donner, *Construction of confidence limits about effect
    measures*, Statistics in Medicine 27, 2008). Satterthwaite's joint degrees of freedom would count three seeds that
    happen to agree as many. benchmarks/bench_significance.py measures how often a true null is rejected.

    Args:
        differences: (S,) row minus parent, one for each seed.
        influences: (S, P) influence of each person on each difference; None where it is not stored.

    Returns:
        The test over seeds and people; over people alone for one seed; Student's t over seeds alone without influences.
    """
    mean, error = mean_and_error(differences)
    seeds = len(differences)
    if influences is None:
        return Result() if error is None else _test(SEEDS, mean, [(error**2, seeds - 1)])
    people = influences.shape[1]
    if error is None:
        return _test(PEOPLE, mean, [(float(influences[0].var(ddof=1)) / people, people - 1)])
    return _test(BOTH, mean, [(error**2, seeds - 1), (max(0.0, mean_covariance(influences)) / people, people - 1)])


def mean_covariance(influences: Array) -> float:
    """Mean covariance over people (P - 1) between two different seeds, of (S, P) influences with S > 1."""
    seeds, people = influences.shape
    centered = influences - influences.mean(axis=1, keepdims=True)
    # The variance of the sum is the sum over all pairs of seeds; those of a seed with itself are taken out.
    pairs = np.square(centered.sum(axis=0)).sum() - np.square(centered).sum()
    return float(pairs / ((people - 1) * seeds * (seeds - 1)))


def _test(method: str, mean: float, parts: list[tuple[float, int]], coverage: float = 0.95) -> Result:
    """Test a mean whose variance is the sum of parts, each with degrees of freedom of its own."""
    # These take a tenth of the start-up time of scipy.stats, and give the same distribution.
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if not parts:
        return Result(method, mean, mean, float(mean == 0))

    def half_length(p: float) -> float:
        return float(sum(variance * stdtrit(freedom, p / 2) ** 2 for variance, freedom in parts)) ** 0.5

    def beyond(logarithm: float) -> float:
        return half_length(math.exp(logarithm)) - size

    half, size = half_length(1 - coverage), abs(mean)
    # At least as large as by each part alone, and at most as by the fewest degrees of freedom for all.
    p = max(float(2 * stdtr(freedom, -size / variance**0.5)) for variance, freedom in parts)
    most = max(float(2 * stdtr(freedom, -size / sum(part[0] for part in parts) ** 0.5)) for _, freedom in parts)
    if 0 < p < most and beyond(math.log(p)) > 0 > beyond(math.log(most)):  # else they differ by rounding alone
        p = math.exp(brentq(beyond, math.log(p), math.log(most)))
    return Result(method, mean - half, mean + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: whatever is below a level after it holds together at that family-wise level.

    Source: Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979.

    Returns:
        Corrected p values in the order given: the k-th smallest of m times (m - k + 1), made monotone, at most 1.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    return corrected.tolist()


def best_reached(held: Array, read: Array, level: float) -> float | None:
    """Largest `read` along the polyline through the points (held, read), both (W,), where `held` is at least `level`.

    Between neighbors both are linear. None where the polyline does not reach the level.
    """
    reached = held >= level
    found = list(read[reached])
    for i in np.flatnonzero(reached[1:] != reached[:-1]):
        share = (level - held[i]) / (held[i + 1] - held[i])
        found.append(read[i] + share * (read[i + 1] - read[i]))
    return float(max(found)) if found else None


def goodness(values: Value, direction: str, target: float | None = None) -> Value | None:
    """Values turned so that more is better, by direction ("lower", "higher", "" for neither) or nearness to a target.

    Returns:
        Values of the same shape; None where neither direction is better.
    """
    if target is not None:
        return -abs(values - target)
    if not direction:
        return None
    return values if direction == "higher" else -values


def probability_of_improvement(row: Array, parent: Array, rounding: float = 0.0) -> float:
    """Share of all pairs of seeds, and of people, in which the row (S, P) beats the parent (T, P); ties count half.

    Source: P(X > Y) of Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, NeurIPS
    2021, section 4.3: the Mann-Whitney statistic of all pairs of runs, averaged over tasks, which are people here.

    Values are `goodness` of each seed on each person; P = 1 for values of whole runs. Those that differ by no more than
    `rounding` are ties.
    """
    gaps = (own - parent for own in row)
    wins = sum(np.count_nonzero(gap > rounding) + 0.5 * np.count_nonzero(abs(gap) <= rounding) for gap in gaps)
    return float(wins / (len(row) * parent.size))
