"""The pairs of photos that verification compares, drawn again without torch: the same for every row of a table."""

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


def verification_pairs(identity: Array, folds: int = 10, seed: int = 0) -> Pairs:
    """The pairs of `recface.metrics.functional.verification_pairs`, draw for draw.

    Args:
        identity: (N,) identity of each photo.
        folds: Identity-disjoint folds; impostor pairs are drawn within them, as many as there are genuine ones.
        seed: Of folds and impostor pairs.

    Returns:
        The pairs, each with its smaller photo index first.
    """
    people, person = np.unique(identity, return_inverse=True)
    generator = np.random.default_rng(seed)
    fold_of_person = np.empty(len(people), np.int64)
    fold_of_person[generator.permutation(len(people))] = np.arange(len(people)) % folds
    parts = []
    for fold in range(folds):
        rows = np.flatnonzero(fold_of_person[person] == fold)
        pairs = rows[np.stack(np.triu_indices(len(rows), 1), 1)]
        same = person[pairs[:, 0]] == person[pairs[:, 1]]
        genuine, impostor = pairs[same], pairs[~same]
        parts.append((genuine, impostor[np.sort(generator.permutation(len(impostor))[: len(genuine)])]))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def cross_pairs(identity: Array, expression: Array) -> Pairs:
    """All pairs of photos with different expression, as `recface.metrics.functional.cross_verification` takes them.

    Args:
        identity: (N,) identity of each photo.
        expression: (N,) label, such as whether the photo is neutral.

    Returns:
        The pairs, each with its smaller photo index first.
    """
    pairs = np.stack(np.triu_indices(len(identity), 1), 1)
    pairs = pairs[expression[pairs[:, 0]] != expression[pairs[:, 1]]]
    same = identity[pairs[:, 0]] == identity[pairs[:, 1]]
    return Pairs(pairs[same], pairs[~same])
