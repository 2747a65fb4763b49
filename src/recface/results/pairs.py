"""Pairs of photos that verification compares, drawn again without torch: the same for every row. Their distances."""

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
    """All pairs of photos with different expression, as `recface.metrics.functional.recognition` takes them.

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


def pair_distances(points: Array, pairs: Pairs) -> tuple[Array, Array]:
    """Distances of genuine and impostor pairs of points, (G,) and (I,)."""
    genuine, impostor = (
        np.linalg.norm(points[chosen[:, 0]] - points[chosen[:, 1]], axis=1)
        for chosen in (pairs.genuine, pairs.impostor)
    )
    return genuine, impostor


def impostors_nearer(genuine: Array, impostor: Array) -> Array:
    """How many impostor pairs are nearer than each genuine pair.

    Args:
        genuine: (G,) distances of pairs of one person.
        impostor: (I,) distances of pairs of two people.

    Returns:
        (G,) numbers of impostor pairs, ties half.
    """
    ordered = np.sort(impostor)
    below, not_above = (np.searchsorted(ordered, genuine, side) for side in ("left", "right"))
    return (below + not_above) / 2


def rank_auc(genuine: Array, impostor: Array) -> float:
    """Area under the ROC curve: how often an impostor pair is farther apart than a genuine one (Mann-Whitney).

    Args:
        genuine: (G,) distances of pairs of one person, at least one.
        impostor: (I,) distances of pairs of two people, at least one.

    Returns:
        From 0 to 1, ties half.
    """
    return float(1 - impostors_nearer(genuine, impostor).mean() / len(impostor))
