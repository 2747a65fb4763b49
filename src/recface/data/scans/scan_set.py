"""What a set of registered scans is: people, and meshes in correspondence that are read or decoded when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from recface.errors import RecfaceError

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


class PeopleSubset(ScanSet):
    """The scans of some people of a set, who are numbered anew.

    Args:
        scans: The whole set.
        people: (Q,) numbers of the people kept.
    """

    def __init__(self, scans: ScanSet, people: np.ndarray) -> None:
        self.scans, self.row = scans, np.flatnonzero(np.isin(scans.identity, people))
        self.identity = np.unique(scans.identity[self.row], return_inverse=True)[1]
        self.num_vertices = scans.num_vertices

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return self.scans[self.row[rows]]


def split_people(scans: ScanSet, sizes: tuple[int, int], seed: int) -> tuple[ScanSet, ScanSet, ScanSet]:
    """Split a set into training, validation and test people, nobody in two of them.

    Args:
        scans: The whole set.
        sizes: Validation and test people.
        seed: Decides who.

    Returns:
        The three sets.

    Raises:
        RecfaceError: Fewer than two training people would be left.
    """
    if sum(sizes) > scans.num_people - 2:
        raise RecfaceError(
            f"sfm_model: {sizes[0]} validation and {sizes[1]} test people of {scans.num_people} leave too few to train "
            "on; lower sfm_model.validation_people and sfm_model.test_people"
        )
    order = np.random.default_rng(seed).permutation(scans.num_people)
    parts = np.split(order, np.cumsum(sizes))
    return PeopleSubset(scans, parts[2]), PeopleSubset(scans, parts[0]), PeopleSubset(scans, parts[1])
