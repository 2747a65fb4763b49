"""Verification: are two photos of the same person? Similarities of pairs and the numbers taken from them."""

from collections.abc import Callable

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional._checks import require_finite, require_same_length
from recface.metrics.functional.geometry import geometry_distance_pairs
from recface.metrics.functional.pairs import Pairs, verification_pairs

__all__ = [
    "Pairs",
    "auc",
    "cosine_scores",
    "fold_accuracies",
    "fold_accuracy",
    "geometry_distance_pairs",
    "geometry_scores",
    "tar_at_far",
    "verification",
    "verification_pairs",
]


def cosine_scores(parameters: Tensor, pairs: Pairs) -> Tensor:
    """Cosine similarity of each pair's parameters.

    Source: methods.md, "Evaluation protocols" [C]; on sigma-weighted parameters ours [O], as only there
    Euclidean geometry is that of the shapes.

    Args:
        parameters: (N, K) sigma-weighted, mm.
        pairs: P pairs of rows.

    Returns:
        (P,) in [-1, 1]; 0 where a parameter vector is zero.
    """
    require_finite("parameters", parameters)
    unit = torch.nn.functional.normalize(parameters, dim=1)
    return (unit[pairs.first] * unit[pairs.second]).sum(dim=1)


def geometry_scores(shapes: Tensor | Callable[[Tensor], Tensor], pairs: Pairs, chunk: int = 512) -> Tensor:
    """Minus the mean per-vertex distance of each pair's neutral shapes, for shapes of any origin.

    Source: ours (methods.md, "Metrics"). For a linear face model `geometry_distance_pairs` is faster.

    Args:
        shapes: (N, V, 3) mm on the face mask, or a function from rows (C,) int64 to shapes (C, V, 3).
        pairs: P pairs of rows.
        chunk: pairs held at a time.

    Returns:
        (P,) mm, never above 0.
    """
    decode = shapes.__getitem__ if isinstance(shapes, Tensor) else shapes
    scores = [
        -(decode(first) - decode(second)).norm(dim=-1).mean(dim=-1)
        for first, second in zip(pairs.first.split(chunk), pairs.second.split(chunk), strict=True)
    ]
    return torch.cat(scores)


def _check_scores(scores: Tensor, same: Tensor) -> None:
    require_same_length(scores=scores, same=same)
    require_finite("scores", scores)
    if same.all() or not same.any():
        raise RecfaceError("verification needs genuine and impostor pairs; all pairs are of one kind")


def auc(scores: Tensor, same: Tensor) -> float:
    """Area under the ROC curve: how often a genuine pair scores above an impostor pair, ties counting one half.

    Source: Mann-Whitney U. (torchmetrics' `binary_auroc` squashes scores outside [0, 1] first, which merges distances.)

    Args:
        scores: (P,) larger = more alike.
        same: (P,) bool.
    """
    _check_scores(scores, same)
    impostor = scores[~same].sort().values
    genuine = scores[same].contiguous()
    below = torch.searchsorted(impostor, genuine, right=False)
    not_above = torch.searchsorted(impostor, genuine, right=True)
    return float((below + not_above).double().mean() / 2 / len(impostor))


def tar_at_far(scores: Tensor, same: Tensor, far: float = 0.01) -> float:
    """Largest true accept rate of any threshold whose false accept rate is at most `far`, without interpolation.

    Source: field; the rule without interpolation is ours. Arguments as `auc`.
    """
    _check_scores(scores, same)
    impostor = scores[~same].sort(descending=True).values
    accepted = int(far * len(impostor) + 1e-9)  # 0.29 * 100 is 28.999...
    if accepted >= len(impostor):
        return 1.0
    return float((scores[same] > impostor[accepted]).double().mean())


def _best_threshold(scores: Tensor, same: Tensor) -> float:
    """The score from which on accepting is most often right; the strictest among equals; inf to accept no pair."""
    ordered, order = scores.sort(descending=True)
    gain = torch.where(same[order], 1, -1).cumsum(0)  # right decisions gained over accepting no pair
    last_of_tie = torch.cat([ordered[1:] != ordered[:-1], ordered.new_ones(1, dtype=torch.bool)])
    gain, ordered = gain[last_of_tie], ordered[last_of_tie]
    best = int(gain.argmax())
    return float(ordered[best]) if gain[best] > 0 else float("inf")


def fold_accuracies(scores: Tensor, same: Tensor, fold: Tensor) -> Tensor:
    """Accuracy on each fold under the threshold that is best on the other folds.

    Source: LFW's protocol (methods.md, "Evaluation protocols" [C]). The threshold is one of the scores, so the
    result does not change under a monotone map.

    Args:
        scores: (P,) larger = more alike.
        same: (P,) bool.
        fold: (P,) int64, two folds or more.

    Returns:
        (F,) float64, folds ascending.
    """
    _check_scores(scores, same)
    require_same_length(scores=scores, fold=fold)
    names = fold.unique()
    if len(names) < 2:
        raise RecfaceError("verification accuracy needs two folds or more: the threshold is chosen on the other folds")
    accuracies = []
    for name in names:
        held_out = fold == name
        threshold = _best_threshold(scores[~held_out], same[~held_out])
        accuracies.append(((scores[held_out] >= threshold) == same[held_out]).double().mean())
    return torch.stack(accuracies)


def fold_accuracy(scores: Tensor, same: Tensor, fold: Tensor) -> float:
    """Mean of `fold_accuracies` over the folds. Arguments and errors as there."""
    return float(fold_accuracies(scores, same, fold).mean())


def verification(scores: Tensor, same: Tensor, fold: Tensor) -> dict[str, float]:
    """The three verification numbers.

    Source: `auc`, `fold_accuracy`, `tar_at_far`.

    Args:
        scores: (P,) larger = more alike.
        same: (P,) bool.
        fold: (P,) int64.

    Returns:
        `auc`, `accuracy`, and `tar_at_far_1` (true accept rate at a false accept rate of 1%), each in [0, 1].

    Raises:
        RecfaceError: for mismatched sizes, scores that are not finite, pairs of one kind, or a single fold.
    """
    return {
        "auc": auc(scores, same),
        "accuracy": fold_accuracy(scores, same, fold),
        "tar_at_far_1": tar_at_far(scores, same, 0.01),
    }
