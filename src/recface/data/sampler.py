"""Composition of batches: a fixed quota of every source, in an order that takes no memory and no time to set up."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from recface.errors import RecfaceError

LONGEST_LIST = 200_000
"""Up to this length a pass over a source is a permutation in memory; beyond it, one by `permuted`."""
ROUNDS = 16  # with fewer, some orders of five or six photos come up more often than others


def mixed(*numbers: np.ndarray | int) -> np.ndarray:
    """Hash of whole numbers >= 0, element by element, as uint64 of at least one dimension.

    Source: the finalizer of SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014).
    """
    state = np.zeros(1, np.uint64)
    for value in numbers:
        state = (state ^ np.asarray(value).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def permuted(index: np.ndarray, length: np.ndarray | int, key: np.ndarray) -> np.ndarray:
    """Where a shuffle of 0..length-1 puts each index, in constant time and without the whole shuffle.

    A Feistel network permutes a rectangle of the least size that holds all indices; what falls outside of 0..length-1
    walks on along its cycle. Source: Black and Rogaway, Ciphers with arbitrary finite domains, 2002.

    Args:
        index: (B,) from 0 to length - 1.
        length: (B,), or one for all.
        key: (B,) or (1,) uint64; another key is another shuffle.

    Returns:
        (B,) int64.
    """
    length, key = (np.broadcast_to(value, index.shape) for value in (np.asarray(length), key))
    height = np.ceil(np.sqrt(length)).astype(np.int64)
    width = -(-length // height)
    found, out = index.astype(np.int64), np.arange(len(index))
    while len(out):
        own, tall, wide = key[out], height[out], width[out]
        high, low = np.divmod(found[out], wide)
        for number in range(0, ROUNDS, 2):
            high = (high + _step(own, low, number)) % tall
            low = (low + _step(own, high, number + 1)) % wide
        found[out] = high * wide + low
        out = out[found[out] >= length[out]]
    return found


def _step(key: np.ndarray, value: np.ndarray, number: int) -> np.ndarray:
    """How far a round moves, (B,) int64 >= 0."""
    return (mixed(key + (value + (number << 40)).astype(np.uint64)) >> np.uint64(2)).astype(np.int64)


@functools.lru_cache(maxsize=16)
def _shuffled(seed: int, source: int, number: int, length: int) -> np.ndarray:
    """A pass over a short source."""
    return np.random.default_rng([seed, source, number]).permutation(length)


def shuffled_passes(seed: int, source: int, length: int, start: int, count: int) -> np.ndarray:
    """Entries start .. start + count, (count,) int64, of a source's endless sequence of shuffled passes."""
    place = np.arange(start, start + count)
    if length > LONGEST_LIST:
        return permuted(place % length, length, mixed(seed, source, place // length))
    passes = range(start // length, (start + count - 1) // length + 1) if count else range(0)
    sequence = np.concatenate([np.empty(0, int), *(_shuffled(seed, source, number, length) for number in passes)])
    return sequence[start % length : start % length + count]


class People:
    """The photos of each person of a source, in memory that grows with people where photos lie by person.

    Args:
        identity: (N,) person of each photo; -1 = unknown, which is never drawn.
    """

    def __init__(self, identity: np.ndarray) -> None:
        unsorted = bool((identity[1:] < identity[:-1]).any())
        self._order = identity.argsort(kind="stable").astype(np.int32) if unsorted else None
        count = np.bincount(identity[identity >= 0])
        self._first = len(identity) - count[::-1].cumsum()[::-1]
        self._named = np.flatnonzero(count)
        self._count = count

    def draw(self, seed: int, source: int, step: int, quota: int, photos: int) -> np.ndarray:
        """Rows (quota,) of a step: shuffled people, and of each the next `photos` in a shuffle of his or her own.

        The last person of a step has fewer where `photos` does not divide the quota; one with fewer photos repeats.
        """
        each = -(-quota // photos)
        place = np.arange(step * each, (step + 1) * each)
        person = self._named[shuffled_passes(seed, source, len(self._named), step * each, each)].repeat(photos)
        visit = (place // len(self._named)).repeat(photos)
        place = visit * photos + np.tile(np.arange(photos), each)
        count = self._count[person]
        rows = self._first[person] + permuted(place % count, count, mixed(seed, source, person, place // count))
        return (rows if self._order is None else self._order[rows].astype(np.int64))[:quota]


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

    With `photos_of_person`, a source of named people fills its quota by `People.draw`; `identities` has the person of
    each photo of each source, or None.
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
        identities: Sequence[np.ndarray | None] = (),
        photos_of_person: int | None = None,
    ) -> None:
        self.lengths, self.steps, self.seed = lengths, steps, seed
        self.quotas = quotas(shares, batch_size)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self.start, self.epoch, self.rank, self.world_size = start, 0, rank, world_size
        self.photos_of_person = photos_of_person or 0
        self.people = {
            source: People(identity)
            for source, identity in enumerate(identities)
            if photos_of_person and identity is not None
        }

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def batch(self, step: int) -> list[int]:
        """Global indices of the samples of a step, counted from the start of training."""
        parts = [offset + self._draw(source, step) for source, offset in enumerate(self.offsets)]
        return np.concatenate(parts).tolist()[self.rank :: self.world_size]

    def _draw(self, source: int, step: int) -> np.ndarray:
        quota = self.quotas[source]
        if source in self.people:
            return self.people[source].draw(self.seed, source, step, quota, self.photos_of_person)
        return shuffled_passes(self.seed, source, self.lengths[source], step * quota, quota)

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.epoch * self.steps
        for step in range(first, first + self.steps):
            yield self.batch(step)
