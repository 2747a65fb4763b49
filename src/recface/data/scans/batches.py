"""Batches of scans in an order that depends on seed and step alone, so that a killed run goes on as if it had not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from recface.data.scans.scan_set import ScanSet


class ScanBatches(IterableDataset):
    """Shuffled batches: every scan once an epoch, the rest of an epoch that fills no batch left out.

    Args:
        scans: The training scans.
        batch_size: Scans a batch B; fewer where the set is smaller.
        seed: Of the order.
        start: First step.
        stop: Step before which it ends.
    """

    def __init__(self, scans: ScanSet, batch_size: int, seed: int, start: int, stop: int) -> None:
        self.scans, self.size, self.seed = scans, min(batch_size, len(scans)), seed
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def rows(self, step: int) -> np.ndarray:
        """Rows (B,) of a step's batch."""
        epoch, place = divmod(step, len(self.scans) // self.size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.scans))
        return np.sort(order[place * self.size : (place + 1) * self.size])  # ascending reads are faster from disk

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for step in range(self.start, self.stop):
            rows = self.rows(step)
            yield {
                "row": torch.from_numpy(rows),
                "identity": torch.from_numpy(self.scans.identity[rows]),
                "vertices": torch.from_numpy(self.scans[rows].reshape(len(rows), -1)),
            }
