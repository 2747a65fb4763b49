"""Bootstrap replicates of the area under the ROC curve of a fixed set of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # SciPy's sparse matrices take a while to import
    from scipy.sparse import csr_matrix

Array = np.ndarray


@dataclass(frozen=True)
class ImpostorDraws:
    """What the impostor pairs are under every draw, whatever their distances.

    Attributes:
        alike: (Q, I) one where an impostor pair is of the q-th pair of identities.
        weights: (Q, R) multiplicity of each pair of identities.
        drawn: (R,) number of impostor pairs drawn.
    """

    alike: csr_matrix
    weights: Array
    drawn: Array


def draw_impostors(pairs: Array, weights: Array) -> ImpostorDraws:
    """Impostor pairs under draws of identities: one of i and j has the weight w_i w_j.

    Args:
        pairs: (I, 2) identities of each impostor pair, 0 .. P-1, in either order.
        weights: (P, R) multiplicities.

    Returns:
        The pairs' multiplicities, for `auc` of any distances.
    """
    from scipy.sparse import csr_matrix

    codes, kind = np.unique(pairs.min(1) * len(weights) + pairs.max(1), return_inverse=True)
    alike = csr_matrix((np.ones(len(pairs), np.float32), (kind, np.arange(len(pairs)))))
    pair_weights = weights[codes // len(weights)] * weights[codes % len(weights)]
    drawn = np.asarray(alike.sum(1)).ravel().astype(np.float64) @ pair_weights
    return ImpostorDraws(alike, pair_weights, drawn)


def auc(genuine: Array, impostor: Array, groups: Array, impostors: ImpostorDraws, weights: Array) -> Array:
    """Replicates of the area under the ROC curve of a fixed set of pairs: a weighted Mann-Whitney statistic.

    A genuine pair of identity i has weight w_i, an impostor pair of i and j has w_i w_j. Ties count one half. What an
    impostor pair of (i, j) wins against the genuine pairs of k is counted once; a replicate is then a cubic form in w.

    Args:
        genuine: (G,) distances of pairs of one person; small means same person.
        impostor: (I,) distances of pairs of two people.
        groups: (G,) identity of each genuine pair, 0 .. P-1.
        impostors: Of the I impostor pairs, under the same weights.
        weights: (P, R) multiplicities.

    Returns:
        (R,) probability that an impostor pair is farther apart than a genuine one; NaN where a draw lacks either.
    """
    values, rank = np.unique(genuine, return_inverse=True)
    nearer = np.zeros((len(values) + 1, len(weights)), np.float32)
    np.add.at(nearer, (rank + 1, groups), 1)
    nearer = np.cumsum(nearer, 0)  # (k, P): genuine pairs of each identity below the k-th distinct distance
    left, right = (np.searchsorted(values, impostor, side) for side in ("left", "right"))
    won = 0.5 * (nearer[left] + nearer[right])  # (I, P)
    wins = np.einsum("pr,pr->r", (impostors.alike @ won).T @ impostors.weights, weights)
    drawn = (nearer[-1].astype(np.float64) @ weights) * impostors.drawn
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / drawn
