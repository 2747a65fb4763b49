"""What was computed from records, remembered within a build of tables and from one build to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from recface.results.people import values_of_people
from recface.results.records import Entry
from recface.results.replicates import Replicator
from recface.results.spec import Block, Statistics

T = TypeVar("T")


@dataclass(frozen=True)
class Resampled:
    """What the stored predictions of one record give again.

    Attributes:
        signature: Which photos; records pair only if it is equal.
        replicates: Metric to (1 + R,), the metric itself first.
        people: Metric to (P,), person by person.
        draws: (P, R) multiplicities of the people.
    """

    signature: bytes = b""
    replicates: dict[str, np.ndarray] = field(default_factory=dict)
    people: dict[str, np.ndarray] = field(default_factory=dict)
    draws: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


def identity(entry: Entry) -> Hashable:
    """What changes whenever a record or its predictions do: paths, the record's time, the file's size and time."""
    if entry.predictions is None:
        return str(entry.path), entry.record.updated
    status = entry.predictions.stat()
    return str(entry.path), entry.record.updated, str(entry.predictions), status.st_size, status.st_mtime_ns


class Cache:
    """Results by what they depend on, so that tables that share records, and later builds, compute them once.

    It holds no more than two builds need, as long as each ends with `forget_unused`.
    """

    def __init__(self) -> None:
        self._replicators: dict[tuple[str, int, int], Replicator] = {}
        self._found: dict[Hashable, Any] = {}
        self._used: set[Hashable] = set()

    def __len__(self) -> int:
        """Number of results held."""
        return len(self._found)

    def remember(self, key: Hashable, compute: Callable[[], T]) -> T:
        """A result: computed, or what was computed before.

        Args:
            key: Which result it is, and everything that it depends on; a record as its `identity`.
            compute: Called if the result is not there.

        Returns:
            The result, not to be changed.
        """
        self._used.add(key)
        if key not in self._found:
            self._found[key] = compute()
        return self._found[key]

    def resampled(self, entry: Entry, block: Block, settings: Statistics) -> Resampled:
        """Replicates of a record's metrics, and their values by person; empty where it has no such predictions."""
        kind = block.predictions, settings.replicates, settings.seed
        replicator = self._replicators.setdefault(kind, Replicator(*kind))
        return self.remember(("resampled", kind, identity(entry)), lambda: _resample(replicator, entry))

    def forget_unused(self) -> None:
        """End of a build: drop what it has not asked for."""
        self._found = {key: self._found[key] for key in self._found if key in self._used}
        self._used = set()
        kept = {found.signature for found in self._found.values() if isinstance(found, Resampled)}
        for replicator in self._replicators.values():
            replicator.forget_draws(kept)


def _resample(replicator: Replicator, entry: Entry) -> Resampled:
    arrays = entry.arrays() if replicator.prefix else {}
    signature = replicator.signature(arrays)
    if not signature:
        return Resampled()
    draws = replicator.drawn(arrays).weights[:, 1:]
    return Resampled(signature, replicator(arrays), values_of_people(replicator, arrays), draws)
