"""P values, Holm's correction, and the probability of improvement. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from recface.results.statistics import Array, mean_and_error

Value = TypeVar("Value", float, Array)
LEVEL = 0.05
"""A difference whose corrected p value is below this is marked."""


def bootstrap_p(replicates: Array) -> float:
    """Two-sided p value of "the difference is zero" from bootstrap replicates of the difference.

    Source: the inversion of the percentile interval, with one added to both counts so that the p value of a finite
    number of draws is never zero (Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 4.2).
    The smallest possible value is 2 / (R + 1): 0.001 for 2,000 replicates, before any correction.

    Of a bootstrap over seeds and people it holds its level as long as seeds scatter no more than the mean over people:
    in benchmarks/bench_bootstrap.py, with three to ten seeds, it rejects a true null at 0.05 in 3 to 4% of trials.
    Where seeds scatter ten times as much it does so in 24% with three and 15% with five, as they agree by chance; one
    seed says nothing about others.

    Args:
        replicates: (R,) replicates of the difference; NaN ones are left out, and count as no draw.

    Returns:
        2 (1 + min(#{d <= 0}, #{d >= 0})) / (R + 1), at most 1.
    """
    valid = replicates[np.isfinite(replicates)]
    fewer = min(np.count_nonzero(valid <= 0), np.count_nonzero(valid >= 0))
    return float(min(1.0, 2 * (1 + fewer) / (valid.size + 1)))


def paired_t_p(differences: Sequence[float]) -> float | None:
    """Two-sided p value of Student's paired t test over seeds.

    Args:
        differences: Row minus parent, one a seed.

    Returns:
        The p value, None for fewer than two seeds; of seeds that all agree, 0, or 1 where they agree on zero.
    """
    from scipy.special import stdtr

    mean, error = mean_and_error(differences)
    if error is None:
        return None
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(len(differences) - 1, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: whatever is below a level after it holds together at that family-wise level.

    Source: Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: Of one family of m hypotheses, dependent in any way.

    Returns:
        Corrected p values in the order given: the k-th smallest times (m - k + 1), made monotone, at most 1.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    return corrected.tolist()


def goodness(values: Value, direction: str, target: float | None = None) -> Value | None:
    """Values turned so that more is better.

    Args:
        values: Of any shape, or one number.
        direction: "lower" or "higher" is better, "" for neither.
        target: The ideal value, which comes before the direction.

    Returns:
        The same shape; None where nothing is better.
    """
    if target is not None:
        return -abs(values - target)
    if not direction:
        return None
    return values if direction == "higher" else -values


def win_rates(row: Array, parent: Array) -> Array:
    """How often each seed of the row beats each seed of the parent, task by task.

    Args:
        row: (S, P) goodness of each seed and task; a task is a person.
        parent: (T, P).

    Returns:
        (S, T, P): 1 where the row is better, 0.5 at a tie, 0 where it is worse.
    """
    first, second = row[:, None], parent[None]
    return (first > second) + 0.5 * (first == second)


def improvement_replicates(wins: Array, row_draws: Array, parent_draws: Array, task_draws: Array) -> Array:
    """Replicates of the probability of improvement.

    Source: P(X > Y) of Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, NeurIPS
    2021, section 4.3 (the rliable library): the Mann-Whitney statistic of all pairs of runs, averaged over tasks.
    Tasks are people here [ours]; they are drawn for both rows together, since both see the same people, and seeds for
    each row on its own, since every seed meets every other.

    Args:
        wins: (S, T, P) of `win_rates`.
        row_draws: (S, R) multiplicities of the row's seeds.
        parent_draws: (T, R) multiplicities of the parent's seeds.
        task_draws: (P, R) multiplicities of the tasks.

    Returns:
        (R,) probabilities; NaN where a draw holds no task.
    """
    with np.errstate(invalid="ignore"):
        of_seeds = np.tensordot(wins, np.asarray(task_draws, float), 1) / task_draws.sum(0)  # (S, T, R)
    drawn = row_draws[:, None].astype(float) * parent_draws[None]
    return (of_seeds * drawn).sum((0, 1)) / drawn.sum((0, 1))
