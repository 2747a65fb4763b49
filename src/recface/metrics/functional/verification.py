"""Verification: how alike two predictions are, which pairs are compared, and the numbers taken from both."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.geometry import geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.requirements import require_finite, require_identities, require_same_length
from recface.metrics.functional.weights import weighted_mean

Pairing = Literal["impostors_within", "genuine_across"]


class Pairs(NamedTuple):
    """Q pairs of samples: rows `first` and `second` (Q,) int64, `same` person (Q,) bool, `fold` (Q,) int64."""

    first: Tensor
    second: Tensor
    same: Tensor
    fold: Tensor


def verification_pairs(
    identities: Tensor,
    folds: int = 10,
    seed: int = 0,
    groups: Tensor | None = None,
    pairing: Pairing = "impostors_within",
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


def cosine_scores(parameters: Tensor, pairs: Pairs) -> Tensor:
    """Cosine similarity of each pair's parameters.

    Source: methods.md, "Evaluation protocols" [C]; on sigma-weighted parameters ours [O], as only there
    Euclidean geometry is that of the shapes.

    Args:
        parameters: (N, K) sigma-weighted, mm.
        pairs: Q pairs of rows.

    Returns:
        (Q,) in [-1, 1]; 0 where a parameter vector is zero.
    """
    require_finite("parameters", parameters)
    unit = torch.nn.functional.normalize(parameters, dim=1)
    return (unit[pairs.first] * unit[pairs.second]).sum(dim=1)


def _check_scores(scores: Tensor, same: Tensor) -> None:
    require_same_length(scores=scores, same=same)
    require_finite("scores", scores)
    if same.all() or not same.any():
        raise RecfaceError("verification needs genuine and impostor pairs; all pairs are of one kind")


def auc(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> Tensor:
    """Area under the ROC curve: how often a genuine pair scores above an impostor pair, ties counting one half.

    Source: Mann-Whitney U. (torchmetrics' `binary_auroc` squashes scores outside [0, 1] first, which merges distances.)

    Args:
        scores: (Q,) larger = more alike.
        same: (Q,) bool.
        weights: (Q,) of the pairs.
    """
    _check_scores(scores, same)
    impostor, order = scores[~same].sort()
    genuine = scores[same].contiguous()
    below = torch.searchsorted(impostor, genuine, right=False)
    not_above = torch.searchsorted(impostor, genuine, right=True)
    if weights is None:
        return (below + not_above).double().mean() / 2 / len(impostor)
    mass = torch.nn.functional.pad(weights[~same][order].cumsum(0), (1, 0))
    return weighted_mean(mass[below] + mass[not_above], weights[same]) / 2 / mass[-1]


def tar_at_far(scores: Tensor, same: Tensor, far: float = 0.01, weights: Tensor | None = None) -> Tensor:
    """Largest true accept rate of any threshold whose false accept rate is at most `far`, without interpolation.

    Source: field; the rule without interpolation is ours, and so is what weights do. A step function of them has no
    useful derivative, so that the threshold is chosen without them; what weights change in the false accept rate there
    is made good along the ROC curve, by its mean slope over the logarithm of the rate from `far` / 2 to 2 `far`.
    Arguments as `auc`.
    """
    _check_scores(scores, same)
    genuine, impostor = scores[same], scores[~same]
    threshold = _threshold_at_far(impostor, far)
    accepted = (genuine > threshold).double()
    if weights is None:
        return accepted.mean()
    strict, loose = ((genuine > _threshold_at_far(impostor, rate)).double().mean() for rate in (far / 2, 2 * far))
    false = (impostor > threshold).double()
    excess = weighted_mean(false, weights[~same]) - false.mean()
    return weighted_mean(accepted, weights[same]) - (loose - strict) / (far * math.log(4)) * excess


def equal_error(scores: Tensor, same: Tensor) -> tuple[float, float]:
    """The score from which on pairs are accepted with equal rates of both errors, and that rate.

    Source: field; without interpolation: of all scores, that where false accept and false reject rate differ least.
    Arguments as `auc`.
    """
    _check_scores(scores, same)
    ordered, order = scores.sort(descending=True, stable=True)
    genuine = same[order]
    false_accepts = (~genuine).cumsum(0) / (~genuine).sum()
    false_rejects = 1 - genuine.cumsum(0) / genuine.sum()
    best = int((false_accepts - false_rejects).abs().argmin())
    return float(ordered[best]), float(false_accepts[best] + false_rejects[best]) / 2


def _threshold_at_far(impostor: Tensor, far: float) -> Tensor | float:
    """The score above which no more than a share `far` of the impostor scores lies."""
    accepted = int(far * len(impostor) + 1e-9)  # 0.29 * 100 is 28.999...
    return impostor.sort(descending=True).values[accepted] if accepted < len(impostor) else -math.inf


def _best_threshold(scores: Tensor, same: Tensor) -> float:
    """The score from which on accepting is most often right; the strictest among equals; inf to accept no pair."""
    ordered, order = scores.sort(descending=True)
    gain = torch.where(same[order], 1, -1).cumsum(0)  # right decisions gained over accepting no pair
    last_of_tie = torch.cat([ordered[1:] != ordered[:-1], ordered.new_ones(1, dtype=torch.bool)])
    gain, ordered = gain[last_of_tie], ordered[last_of_tie]
    best = int(gain.argmax())
    return float(ordered[best]) if gain[best] > 0 else float("inf")


def fold_accuracies(scores: Tensor, same: Tensor, fold: Tensor, weights: Tensor | None = None) -> Tensor:
    """Accuracy on each fold under the threshold that is best on the other folds.

    Source: LFW's protocol (methods.md, "Evaluation protocols" [C]). The threshold is one of the scores, so the
    result does not change under a monotone map.

    Args:
        scores: (Q,) larger = more alike.
        same: (Q,) bool.
        fold: (Q,) int64, two folds or more.
        weights: (Q,) of the pairs; thresholds are chosen without them.

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
        right = (scores[held_out] >= threshold) == same[held_out]
        accuracies.append(weighted_mean(right, None if weights is None else weights[held_out]))
    return torch.stack(accuracies)


def verification(scores: Tensor, same: Tensor, fold: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """The three verification numbers; arguments and sources as `auc`, `fold_accuracies` and `tar_at_far`.

    Returns:
        `auc`, `accuracy` (mean over the folds), and `tar_at_far_1` (true accept rate at a false accept rate of 1%),
        each in [0, 1].

    Raises:
        RecfaceError: for mismatched sizes, scores that are not finite, pairs of one kind, or a single fold.
    """
    return {
        "auc": auc(scores, same, weights),
        "accuracy": fold_accuracies(scores, same, fold, weights).mean(),
        "tar_at_far_1": tar_at_far(scores, same, 0.01, weights),
    }


def fold_val(scores: Tensor, same: Tensor, fold: Tensor, far: float = 1e-3) -> tuple[float, float]:
    """Validation rate (VAL) at a false accept rate, with the threshold chosen on the other folds.

    Source: FaceNet (Schroff et al. 2015, section 4) and its ten-fold use in the field. Ours: no interpolation; the
    threshold is the loosest under which the other folds accept at most `far` of their impostor pairs. Arguments as
    `fold_accuracies`; each fold needs genuine and impostor pairs.

    Returns:
        Means over folds of the share of genuine pairs accepted, and of the share of impostor pairs accepted.
    """
    values, rates = [], []
    for name in fold.unique():
        held_out = fold == name
        accepted = scores > _threshold_at_far(scores[~held_out & ~same], far)
        values.append(accepted[held_out & same].double().mean())
        rates.append(accepted[held_out & ~same].double().mean())
    return float(torch.stack(values).mean()), float(torch.stack(rates).mean())


def ten_fold(scores: Tensor, same: Tensor, fold: Tensor) -> dict[str, float]:
    """All numbers of a pair list; arguments as `fold_val`.

    Source: LFW's protocol, `fold_accuracies` and `fold_val`. As there, the error of the accuracy is its standard error
    over the folds.

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
        "auc": float(auc(scores, same)),
    }


def insightface_accuracies(distance: Tensor, same: Tensor, fold: Tensor) -> Tensor:
    """Accuracy on each fold under the threshold that is best on the other folds, as InsightFace computes it.

    Source: InsightFace's public code: thresholds 0, 0.01, ..., 3.99, the lowest among equals; a pair is accepted below.

    Args:
        distance: (Q,) squared Euclidean distances of unit vectors.
        same: (Q,) bool.
        fold: (Q,) int64, two folds or more.

    Returns:
        (F,) float64, folds ascending.
    """
    thresholds = torch.arange(400, dtype=torch.float64) * 0.01
    names = fold.unique()
    right = torch.zeros(len(names), len(thresholds), dtype=torch.float64)
    for row, name in enumerate(names):
        of = fold == name
        genuine, impostor = (distance[of & kind].double().sort().values for kind in (same, ~same))
        right[row] = torch.searchsorted(genuine, thresholds) + len(impostor) - torch.searchsorted(impostor, thresholds)
    best = (right.sum(dim=0) - right).argmax(dim=1)
    return right[torch.arange(len(names)), best] / torch.stack([(fold == name).sum() for name in names])


CHUNK = 1024


def vector_scores(vectors: Tensor, pairs: Pairs, *, cosine: bool) -> Tensor:
    """Cosine, or minus the Euclidean distance, of each pair's vectors, in float64.

    Source: methods.md, "Evaluation protocols" [C]. Pairs are taken a chunk at a time: IJB-C has 15.7 million.

    Args:
        vectors: (N, D).
        pairs: Q pairs of rows.
        cosine: which of the two.

    Returns:
        (Q,) larger = more alike; the cosine is 0 where a vector is zero.

    Raises:
        RecfaceError: for vectors that are not (N, D) or not finite.
    """
    if vectors.ndim != 2:
        raise RecfaceError(f"parameters have shape {tuple(vectors.shape)}, expected (N, K): one row per sample")
    require_finite("parameters", vectors)
    norms = vectors.norm(dim=1, dtype=torch.float64) if cosine else None
    parts = []
    for first, second in zip(pairs.first.split(CHUNK), pairs.second.split(CHUNK), strict=True):
        a, b = vectors[first].double(), vectors[second].double()  # a chunk's doubles stay in the cache
        if norms is None:
            parts.append(-(a - b).norm(dim=1))
        else:
            parts.append((a * b).sum(dim=1) / (norms[first] * norms[second]).clamp_min(1e-300))
    return torch.cat(parts)


def linear_geometry_scores(parameters: Tensor, basis: Tensor, pairs: Pairs, *, cosine: bool) -> Tensor:
    """`mesh_scores` of a linear face model's neutral shapes, without decoding them.

    Source: `geometry_distance_pairs` and `geometry_coordinates`; `parameters` (N, K), `basis` (M, 3, K) mm per unit of
    parameter.
    """
    if cosine:
        return vector_scores(geometry_coordinates(parameters - parameters.mean(dim=0), basis), pairs, cosine=True)
    return -geometry_distance_pairs(parameters, pairs.first, pairs.second, basis)


def mesh_scores(
    decode: Callable[[Tensor], Tensor], count: int, pairs: Pairs, *, cosine: bool, chunk: int = 512
) -> Tensor:
    """Minus the mean per-vertex distance, or the cosine of the offsets from the mean shape of all predictions.

    Source: the distance is ours (methods.md, "Metrics"); the cosine of shapes needs an origin, and that this is the
    mean of the method's own predictions is ours [O], as a method's mean face is not always known.

    Args:
        decode: From rows (C,) int64 to neutral shapes (C, V, 3) in mm, of one topology.
        count: number of shapes N.
        pairs: Q pairs of rows.
        cosine: which of the two.
        chunk: shapes or pairs held at a time.

    Returns:
        (Q,) larger = more alike.
    """
    # Products of all pairs of rows that occur would need every shape at once; a chunk of pairs needs two chunks.
    chunks = zip(pairs.first.split(chunk), pairs.second.split(chunk), strict=True)
    if not cosine:
        return torch.cat([-(decode(a) - decode(b)).norm(dim=-1).mean(dim=-1) for a, b in chunks])
    sums = [decode(rows).double().sum(dim=0) for rows in torch.arange(count).split(chunk)]
    center = torch.stack(sums).sum(dim=0) / count

    def offsets(rows: Tensor) -> Tensor:
        return decode(rows).double().sub(center).flatten(1)

    return torch.cat([torch.cosine_similarity(offsets(a), offsets(b), dim=1) for a, b in chunks])


def pool(values: Tensor, group: Tensor) -> Tensor:
    """Mean of the rows of each group.

    Source: methods.md, "Evaluation protocols" [C] (YTF: mean parameter vector per video).

    Args:
        values: (N, ...).
        group: (N,) int64 in 0..G-1, each with a row.

    Returns:
        (G, ...) float64.
    """
    require_same_length(values=values, group=group)
    counts = torch.bincount(group)
    sums = values.new_zeros((len(counts), *values.shape[1:]), dtype=torch.float64).index_add_(0, group, values.double())
    return sums / counts.view(-1, *[1] * (values.ndim - 1))


def identification(scores: Tensor, probe_identity: Tensor, gallery_identity: Tensor, ranks: tuple[int, ...]) -> Tensor:
    """Closed-set identification: share of probes whose own gallery template is among the k most alike.

    Source: field (the CMC curve of IJB-A, Klare et al. 2015); ours: templates tied with the own one come before it as
    often as after it, so that predictions collapsed to the mean score chance.

    Args:
        scores: (N, G) larger = more alike.
        probe_identity: (N,) int64.
        gallery_identity: (G,) int64, each identity once.
        ranks: each k.

    Returns:
        (len(ranks),) in [0, 1].

    Raises:
        RecfaceError: for scores that are not finite, or a probe without exactly one gallery template.
    """
    require_finite("scores", scores)
    own = probe_identity[:, None] == gallery_identity[None]
    if (wrong := (own.sum(dim=1) != 1).nonzero().flatten()).numel():
        row = int(wrong[0])
        raise RecfaceError(f"probe template {row} has {int(own[row].sum())} gallery templates of its person, not one")
    mine = scores[own][:, None]
    before, tied = (scores > mine).sum(dim=1), (scores == mine).sum(dim=1)
    return torch.stack([((k - before) / tied).clamp(0, 1).double().mean() for k in ranks])
