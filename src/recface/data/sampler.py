"""Composition of batches: a fixed quota of every source."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from recface.errors import RecfaceError


def quotas(shares: list[float], batch_size: int) -> list[int]:
    """Split a batch among sources by the largest remainder, with at least one sample for each positive share.

    Raises:
        RecfaceError: No share is positive, or there are more sources than samples.
    """
    positive = [share > 0 for share in shares]
    if not any(positive) or sum(positive) > batch_size:
        raise RecfaceError(
            f"data.sources: shares {shares} cannot fill a batch of {batch_size}; give positive shares, and a "
            "scale.batch_size of at least one sample for each"
        )
    exact = np.array(shares) / sum(shares) * batch_size
    parts = np.maximum(np.floor(exact), positive).astype(int)
    while parts.sum() != batch_size:
        step = 1 if parts.sum() < batch_size else -1
        eligible = np.where(positive if step > 0 else parts > 1, step * (exact - parts), -np.inf)
        parts[eligible.argmax()] += step
    return parts.tolist()


class QuotaSampler(Sampler[list[int]]):
    """Batches of a fixed share of each source, each shuffled on its own without replacement.

    The batch of a step depends on the seed and the step alone: every variant sees the same photos in the same order,
    and a resumed run continues the order. An epoch has `steps` batches; training begins with the step `start`, where a
    killed run stopped; and each of `world_size` processes takes its part of every batch by its `rank`.
    """

    def __init__(
        self,
        lengths: list[int],
        shares: list[float],
        batch_size: int,
        steps: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.lengths, self.steps, self.seed = lengths, steps, seed
        self.quotas = quotas(shares, batch_size)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self.start, self.epoch, self.rank, self.world_size = start, 0, rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def batch(self, step: int) -> list[int]:
        """Global indices of the samples of a step, counted from the start of training."""
        parts = [
            self.offsets[source] + self._draw(source, step * quota, quota) for source, quota in enumerate(self.quotas)
        ]
        return np.concatenate(parts).astype(int).tolist()[self.rank :: self.world_size]

    def _draw(self, source: int, start: int, count: int) -> np.ndarray:
        """Entries start .. start + count of a source's endless sequence of shuffled passes."""
        length = self.lengths[source]
        passes = range(start // length, (start + count - 1) // length + 1) if count else []
        sequence = [np.random.default_rng([self.seed, source, number]).permutation(length) for number in passes]
        return np.concatenate([*sequence, np.empty(0, int)])[start % length : start % length + count]

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.epoch * self.steps
        for step in range(first, first + self.steps):
            yield self.batch(step)
