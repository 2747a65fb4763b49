"""A fixed set of photo pairs for verification under resampling: the same pairs for every row of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Indices of photos; genuine pairs show one person, impostor pairs two.

    Attributes:
        genuine: (G, 2).
        impostor: (I, 2).
    """

    genuine: Array
    impostor: Array


def fixed_pairs(
    identity: Array, expression: Array | None = None, per_identity: int = 12, impostors: int = 10_000, seed: int = 0
) -> Pairs:
    """Choose pairs by a seed: all where they are few, else a random part.

    Args:
        identity: (N,) identity of each photo.
        expression: (N,) label; if given, only photos of different expression are paired.
        per_identity: Most genuine pairs of one person. They hang together so closely that more add little.
        impostors: Most impostor pairs.
        seed: Of the choice.

    Returns:
        The pairs, each with its smaller photo index first.
    """
    generator = np.random.default_rng(seed)
    genuine = []
    for person in np.unique(identity):
        photos = np.flatnonzero(identity == person)
        first, second = np.triu_indices(len(photos), 1)
        pairs = _across(np.stack([photos[first], photos[second]], 1), expression)
        if len(pairs) > per_identity:
            pairs = pairs[np.sort(generator.choice(len(pairs), per_identity, replace=False))]
        genuine.append(pairs)
    return Pairs(np.concatenate(genuine), _impostors(identity, expression, impostors, generator))


def _impostors(identity: Array, expression: Array | None, wanted: int, generator: np.random.Generator) -> Array:
    """All pairs of two people where photos are few, else distinct random ones."""
    photos = len(identity)
    if photos * (photos - 1) // 2 <= 8 * wanted:
        pairs = np.stack(np.triu_indices(photos, 1), 1)
    else:
        drawn = np.sort(generator.integers(0, photos, size=(8 * wanted, 2)), 1)
        pairs = np.unique(drawn[drawn[:, 0] < drawn[:, 1]], axis=0)
    pairs = _across(pairs[identity[pairs[:, 0]] != identity[pairs[:, 1]]], expression)
    if len(pairs) > wanted:
        pairs = pairs[np.sort(generator.choice(len(pairs), wanted, replace=False))]
    return pairs


def _across(pairs: Array, expression: Array | None) -> Array:
    return pairs if expression is None else pairs[expression[pairs[:, 0]] != expression[pairs[:, 1]]]
