"""The numbers of a verification benchmark with a fixed pair list: LFW, CFP-FP, AgeDB-30, YTF."""

import math

import torch
from torch import Tensor

from recface.metrics.functional.verification import auc, fold_accuracies


def fold_val(scores: Tensor, same: Tensor, fold: Tensor, far: float = 1e-3) -> tuple[float, float]:
    """Validation rate (VAL) at a false accept rate, with the threshold chosen on the other folds.

    Source: FaceNet (Schroff et al. 2015, section 4) and its ten-fold use in the field. Ours: no interpolation; the
    threshold is the loosest under which the other folds accept at most `far` of their impostor pairs.

    Args:
        scores: (P,) larger = more alike.
        same: (P,) bool.
        fold: (P,) int64; each fold with genuine and impostor pairs, and two folds or more.
        far: the false accept rate asked for.

    Returns:
        Means over folds of the share of genuine pairs accepted, and of the share of impostor pairs accepted.
    """
    values, rates = [], []
    for name in fold.unique():
        held_out = fold == name
        impostor = scores[~held_out & ~same].sort(descending=True).values
        accepted = int(far * len(impostor) + 1e-9)  # as in tar_at_far
        threshold = impostor[accepted] if accepted < len(impostor) else -math.inf
        right = scores[held_out] > threshold
        values.append(right[same[held_out]].double().mean())
        rates.append(right[~same[held_out]].double().mean())
    return float(torch.stack(values).mean()), float(torch.stack(rates).mean())


def ten_fold(scores: Tensor, same: Tensor, fold: Tensor) -> dict[str, float]:
    """All numbers of a pair list.

    Source: LFW's protocol, `fold_accuracies` and `fold_val`. As there, the error of the accuracy is its standard error
    over the folds.

    Args:
        scores: (P,) larger = more alike.
        same: (P,) bool.
        fold: (P,) int64, each with pairs of both kinds.

    Returns:
        `accuracy`, `accuracy_error`, `val`, `val_far` (the false accept rate that came out), and `auc`.
    """
    accuracies = fold_accuracies(scores, same, fold)
    val, rate = fold_val(scores, same, fold)
    return {
        "accuracy": float(accuracies.mean()),
        "accuracy_error": float(accuracies.std() / math.sqrt(len(accuracies))),
        "val": val,
        "val_far": rate,
        "auc": auc(scores, same),
    }
