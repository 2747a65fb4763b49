"""What a set of registered scans is: people, and meshes in correspondence that are read or decoded when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

BLOCK = 128  # scans decoded at a time: 77 MB at 50,000 vertices


class ScanSet(ABC):
    """N registered meshes with identity labels; only those asked for are in memory.

    Attributes:
        identity: (N,) int64 number of the person of each scan, 0 .. P-1.
        num_vertices: Vertices V of every scan.
    """

    identity: np.ndarray
    num_vertices: int

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def num_people(self) -> int:
        """Number of people P."""
        return int(self.identity.max()) + 1

    def __getitem__(self, row: int | slice | np.ndarray) -> np.ndarray:
        """Scans in mm, float32: (V, 3) of one row, (B, V, 3) of several."""
        rows = np.arange(len(self))[row]
        vertices = self._read(np.atleast_1d(rows))
        return vertices[0] if np.ndim(rows) == 0 else vertices

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, np.ndarray]]:
        """All scans in order, a block of rows at a time: the slice, and (B, 3V) float32 in mm."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self[rows].reshape(rows.stop - start, -1)

    @abstractmethod
    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Vertices (B, V, 3) float32 of rows (B,)."""
