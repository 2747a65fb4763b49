"""Differences of a row to its parent: 95% intervals, p values, and the probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recface.results import significance, statistics
from recface.results.cache import Cache, Resampled
from recface.results.records import Entry
from recface.results.spec import Block, Column, Statistics

BOOTSTRAP = "bootstrap"
STUDENT = "t"
# How far a metric recomputed from stored predictions may be from the recorded one (float16, RMS in place of mean
# distance) and still stand for it.
RELATIVE, ABSOLUTE = 0.03, 0.005
Interval = tuple[float, float]


@dataclass(frozen=True)
class Improvement:
    """Probability that a seed of the row beats a seed of the parent on a person, ties half.

    Attributes:
        value: From 0 to 1; 0.5 is no improvement.
        low: Lower end of the 95% interval, None where there is none.
        high: Upper end.
        people: People compared; 0 where only the seeds' values are.
    """

    value: float
    low: float | None
    high: float | None
    people: int


@dataclass(frozen=True)
class Difference:
    """Row minus parent.

    Attributes:
        value: Mean over the seeds both have, from the records.
        low: Lower end of the interval, None where there is none.
        high: Upper end.
        method: "bootstrap" over seeds and identities, "t" over seeds, "" for no interval.
        per_seed: Seed to difference.
        p: Two-sided p value by the same method, None where there is none.
        holm: It, corrected over the rows of the column; see `significance.holm`.
        family: Number of differences that it was corrected over.
        improvement: None where neither direction is better, or with no more than one pair of values.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    per_seed: dict[int, float]
    p: float | None = None
    holm: float | None = None
    family: int = 0
    improvement: Improvement | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def significant(self) -> bool:
        """Whether it holds after the correction."""
        return self.holm is not None and self.holm < significance.LEVEL


class Comparer:
    """Compares rows within one block.

    Args:
        block: The block.
        settings: Replicates and seed.
        cache: Shared by tables and builds.
    """

    def __init__(self, block: Block, settings: Statistics, cache: Cache | None = None) -> None:
        self.block, self.settings = block, settings
        self._cache = Cache() if cache is None else cache  # an empty one is false

    def compare(self, row: Mapping[int, Entry], parent: Mapping[int, Entry], column: Column) -> Difference | None:
        """Difference in one metric, over the seeds both rows have.

        Args:
            row: Seed to entry.
            parent: Seed to entry of the parent.
            column: Metric, and what is better.

        Returns:
            The difference: with a paired bootstrap where stored predictions give the metric again, else with a t
            interval over seeds; None where the rows share no seed with a value. Nothing is corrected yet.
        """
        metric = column.metric
        values = {
            seed: (own, its)
            for seed in sorted(set(row) & set(parent))
            if (own := self._value(row[seed], metric)) is not None
            and (its := self._value(parent[seed], metric)) is not None
        }
        if not values:
            return None
        per_seed = {seed: own - its for seed, (own, its) in values.items()}
        mean = float(np.mean(list(per_seed.values())))
        seeds = list(values)
        sides = [
            [self._cache.resampled(side[seed], self.block, self.settings) for seed in seeds] for side in (row, parent)
        ]
        recorded = np.array(list(values.values())).T
        paired = self._pairs(sides, recorded, metric)
        improvement = self._improvement(sides, recorded, column, paired)
        replicates = self._replicates(sides, recorded, metric) if paired else None
        if replicates is not None and np.isfinite(replicates).any():
            interval = statistics.percentile_interval(replicates)
            p = significance.bootstrap_p(replicates)
            return Difference(mean, *interval, BOOTSTRAP, per_seed, p, improvement=improvement)
        interval = statistics.paired_t_interval(list(per_seed.values()))
        if interval is None:
            return Difference(mean, None, None, "", per_seed, improvement=improvement)
        p = significance.paired_t_p(list(per_seed.values()))
        return Difference(mean, *interval, STUDENT, per_seed, p, improvement=improvement)

    def _value(self, entry: Entry, metric: str) -> float | None:
        return entry.value(self.block.metrics, metric)

    @staticmethod
    def _pairs(sides: list[list[Resampled]], recorded: np.ndarray, metric: str) -> bool:
        """Whether all records saw the same photos, and their predictions give the recorded value again."""
        if len({found.signature for side in sides for found in side}) != 1:
            return False
        for side, values in zip(sides, recorded, strict=True):
            for found, value in zip(side, values, strict=True):
                again = found.replicates.get(metric)
                if again is None or not abs(again[0] - value) <= RELATIVE * abs(value) + ABSOLUTE:
                    return False
        return True

    def _draws(self, seeds: int, stream: int) -> np.ndarray:
        asked = seeds, self.settings.replicates, self.settings.seed + stream
        return self._cache.remember(("seeds", asked), lambda: statistics.draw_weights(*asked))

    def _replicates(self, sides: list[list[Resampled]], recorded: np.ndarray, metric: str) -> np.ndarray:
        """(R,) replicates of the difference.

        They are moved to the recorded difference: predictions give the metric again up to a small error (RMS in place
        of mean distance, the leading modes alone), which is none of the sampling.
        """
        own, its = (np.stack([found.replicates[metric] for found in side]) for side in sides)
        difference = own - its
        moved = difference[:, 1:] + (recorded[0] - recorded[1] - difference[:, 0])[:, None]
        return statistics.over_seeds(moved, self._draws(len(moved), 1))

    def _improvement(
        self, sides: list[list[Resampled]], recorded: np.ndarray, column: Column, paired: bool
    ) -> Improvement | None:
        tasks, draws = recorded[:, :, None], np.ones((1, self.settings.replicates))
        by_person = paired and all(column.metric in found.people for side in sides for found in side)
        if by_person:
            tasks = np.array([[found.people[column.metric] for found in side] for side in sides])
            known = np.isfinite(tasks).all((0, 1))
            tasks, draws = tasks[:, :, known], sides[0][0].draws[known]
        good = significance.goodness(tasks, column.direction, column.target)
        if good is None or good[0].size < 2:
            return None
        wins = significance.win_rates(*good)
        value = float(wins.mean())
        if not by_person and value in (0.0, 1.0):  # the seeds all agree: their draws would, too
            return Improvement(value, None, None, 0)
        seeds = len(sides[0])
        replicates = significance.improvement_replicates(wins, self._draws(seeds, 2), self._draws(seeds, 3), draws)
        return Improvement(value, *statistics.percentile_interval(replicates), tasks.shape[2] if by_person else 0)
