"""Differences of a row to its parent, with 95% intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recface.results import statistics
from recface.results.load import Entry
from recface.results.replicates import Replicator
from recface.results.spec import Block, Statistics

BOOTSTRAP = "bootstrap"
STUDENT = "t"
# How far a metric recomputed from stored predictions may be from the recorded one (float16, RMS in place of mean
# distance) and still stand for it.
RELATIVE, ABSOLUTE = 0.03, 0.005


@dataclass(frozen=True)
class Difference:
    """Row minus parent.

    Attributes:
        value: Mean over the seeds both have, from the records.
        low: Lower end of the interval, None where there is none.
        high: Upper end.
        method: "bootstrap" over seeds and identities, "t" over seeds, "" for no interval.
        per_seed: Seed to difference.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    per_seed: dict[int, float]

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Comparer:
    """Compares rows within one block; what it recomputes of a record it computes once.

    Args:
        block: The block.
        settings: Replicates and seed.
    """

    def __init__(self, block: Block, settings: Statistics) -> None:
        self.block, self.settings = block, settings
        self._replicator = (
            Replicator(block.predictions, settings.replicates, settings.seed) if block.predictions else None
        )
        self._cache: dict[str, tuple[bytes, dict[str, np.ndarray]]] = {}

    def compare(self, row: Mapping[int, Entry], parent: Mapping[int, Entry], metric: str) -> Difference | None:
        """Difference in one metric, over the seeds both rows have.

        Args:
            row: Seed to entry.
            parent: Seed to entry of the parent.
            metric: Name in the record.

        Returns:
            The difference: with a paired bootstrap where stored predictions give the metric again, else with a t
            interval over seeds; None where the rows share no seed with a value.
        """
        values = {
            seed: (self._value(row[seed], metric), self._value(parent[seed], metric)) for seed in row if seed in parent
        }
        per_seed = {seed: a - b for seed, (a, b) in sorted(values.items()) if a is not None and b is not None}
        if not per_seed:
            return None
        mean = float(np.mean(list(per_seed.values())))
        interval, method = self._bootstrap(row, parent, metric, list(per_seed)), BOOTSTRAP
        if interval is None:
            interval, method = statistics.paired_t_interval(list(per_seed.values())), STUDENT
        if interval is None:
            return Difference(mean, None, None, "", per_seed)
        return Difference(mean, *interval, method, per_seed)

    def _value(self, entry: Entry, metric: str) -> float | None:
        return entry.record.metrics.get(self.block.metrics, {}).get(metric)

    def _bootstrap(
        self, row: Mapping[int, Entry], parent: Mapping[int, Entry], metric: str, seeds: list[int]
    ) -> tuple[float, float] | None:
        stacks = []
        signatures = set()
        for side in (row, parent):
            rows = []
            for seed in seeds:
                signature, replicates = self._of(side[seed])
                found, recorded = replicates.get(metric), self._value(side[seed], metric)
                if found is None or recorded is None:
                    return None
                if not abs(found[0] - recorded) <= RELATIVE * abs(recorded) + ABSOLUTE:
                    return None
                signatures.add(signature)
                rows.append(found[1:])
            stacks.append(np.stack(rows))
        if len(signatures) != 1:
            return None
        seed_weights = statistics.draw_weights(len(seeds), self.settings.replicates, self.settings.seed + 1)
        return statistics.percentile_interval(statistics.over_seeds(stacks[0] - stacks[1], seed_weights))

    def _of(self, entry: Entry) -> tuple[bytes, dict[str, np.ndarray]]:
        key = str(entry.path)
        if key not in self._cache:
            arrays = entry.arrays() if self._replicator else {}
            if self._replicator and arrays:
                self._cache[key] = self._replicator.signature(arrays), self._replicator(arrays)
            else:
                self._cache[key] = b"", {}
        return self._cache[key]
