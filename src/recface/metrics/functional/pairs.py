"""Which pairs of photos a verification compares."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional._checks import require_identities, require_same_length


class Pairs(NamedTuple):
    """Pairs of samples: rows `first` and `second` (P,) int64, `same` person (P,) bool, `fold` (P,) int64."""

    first: Tensor
    second: Tensor
    same: Tensor
    fold: Tensor


def verification_pairs(
    identities: Tensor,
    folds: int = 10,
    seed: int = 0,
    groups: Tensor | None = None,
    pairing: Literal["impostors_within", "genuine_across"] = "impostors_within",
) -> Pairs:
    """Draws a verification protocol: all genuine pairs, and in each fold as many impostor pairs (or all there are).

    Source: ours, after the ten-fold protocol of LFW (methods.md, "Evaluation protocols"). People, not photos, are dealt
    to the folds, so that no person is seen both when a threshold is chosen and when it is used.

    Args:
        identities: (N,) int64, >= 0.
        folds: number of identity-disjoint folds.
        seed: of the folds and the impostor pairs. Both also depend on the order of the rows.
        groups: (N,) int64, for controls such as "shares an albedo"; None pairs without them.
        pairing: what `groups` restricts: impostor pairs to one group, or genuine pairs to two groups.

    Returns:
        Pairs on the device of `identities`, fold after fold.

    Raises:
        RecfaceError: for fewer than two people per fold, no person with two photos, or no impostor pair.
    """
    require_identities(identities)
    if groups is not None:
        require_same_length(identities=identities, groups=groups)
    people, person = torch.unique(identities.cpu(), return_inverse=True)
    if folds < 1 or len(people) < 2 * folds:
        raise RecfaceError(
            f"{len(people)} people are too few for {folds} verification folds of two people each; "
            f"use more people or folds <= {len(people) // 2}"
        )
    random = np.random.default_rng(seed)
    fold_of_person = torch.empty_like(people)
    fold_of_person[torch.from_numpy(random.permutation(len(people)))] = torch.arange(len(people)) % folds
    fold_of_row = fold_of_person[person]
    label = None if groups is None else groups.cpu()

    parts = []
    for fold in range(folds):
        rows = (fold_of_row == fold).nonzero().flatten()
        first, second = rows[torch.triu_indices(len(rows), len(rows), offset=1)]
        same = person[first] == person[second]
        genuine, impostor = same, ~same
        if label is not None and pairing == "impostors_within":
            impostor = impostor & (label[first] == label[second])
        elif label is not None:
            genuine = genuine & (label[first] != label[second])
        genuine, impostor = genuine.nonzero().flatten(), impostor.nonzero().flatten()
        drawn = np.sort(random.permutation(len(impostor))[: len(genuine)])
        chosen = torch.cat([genuine, impostor[torch.from_numpy(drawn)]])
        parts.append(Pairs(first[chosen], second[chosen], same[chosen], torch.full_like(chosen, fold)))
    pairs = Pairs(*(torch.cat(column).to(identities.device) for column in zip(*parts, strict=True)))
    if not pairs.same.any():
        raise RecfaceError("verification has no genuine pair: no person has two photos (in two groups, where asked)")
    if pairs.same.all():
        raise RecfaceError("verification has no impostor pair: no two people of a fold share a group; use fewer folds")
    return pairs
