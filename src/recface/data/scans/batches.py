"""Batches of scans in an order that depends on seed and step alone, so that a killed run goes on as if it had not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset


class ScanBatches(IterableDataset):
    """Shuffled batches: every scan at most once an epoch; what is left of an epoch and fills no batch is left out.

    Args:
        scores: (N, M) the scans in principal coordinates, mm; may be memory-mapped.
        identity: (N,) person of each.
        batch_size: Scans a batch B; all of them where there are fewer.
        seed: Of the order.
        start: First step.
        stop: Step before which it ends.
    """

    def __init__(
        self, scores: np.ndarray, identity: np.ndarray, batch_size: int, seed: int, start: int, stop: int
    ) -> None:
        self.scores, self.identity = scores, identity
        self.size, self.seed = min(batch_size, len(scores)), seed
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def rows(self, step: int) -> np.ndarray:
        """Rows (B,) of a step's batch."""
        epoch, place = divmod(step, len(self.scores) // self.size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.scores))
        return np.sort(order[place * self.size : (place + 1) * self.size])  # ascending reads are faster from disk

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for step in range(self.start, self.stop):
            rows = self.rows(step)
            yield {
                "row": torch.from_numpy(rows),
                "identity": torch.from_numpy(self.identity[rows]),
                "scores": torch.from_numpy(np.asarray(self.scores[rows], np.float32)),
            }
