"""Is what makes a predicted shape recognisable true, or only imprinted? Answered where the true shape is known."""

from typing import Literal

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.geometry import geometry_distance_pairs
from recface.metrics.functional.recognition import rank1, rms_distances, true_references
from recface.metrics.functional.requirements import require_finite, require_same_length
from recface.metrics.functional.verification import auc, verification_pairs


def truth_cosine(predicted: Tensor, true: Tensor) -> float:
    """Mean cosine of predicted to true parameters, which rescaling cannot raise.

    Source: ours [O] (methods.md, "Metrics": faithfulness).

    Args:
        predicted: (N, K) sigma-weighted, mm.
        true: (N, K) sigma-weighted, mm.

    Returns:
        In [-1, 1]; a prediction of the mean face counts 0.

    Raises:
        RecfaceError: for mismatched sizes or values that are not finite.
    """
    require_same_length(predicted=predicted, true=true)
    if predicted.shape != true.shape:
        raise RecfaceError(f"predicted {tuple(predicted.shape)} and true {tuple(true.shape)} parameters differ")
    require_finite("predicted parameters", predicted)
    require_finite("true parameters", true)
    return float(torch.cosine_similarity(predicted.double(), true.double(), dim=1).mean())


def truth_rank1(predicted: Tensor, true: Tensor, identities: Tensor, basis: Tensor) -> float:
    """Rank-1 rate of predicted shapes among the true shapes of all people, by RMS vertex distance.

    Source: ours [O] (methods.md, "Metrics": faithfulness).

    Args:
        predicted: (N, K) whitened.
        true: (N, K) whitened, equal for all photos of a person.
        identities: (N,) int64, >= 0.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.

    Returns:
        The rate in [0, 1].

    Raises:
        RecfaceError: for mismatched sizes, values that are not finite, or a person with two true shapes.
    """
    require_same_length(predicted=predicted, true=true, identities=identities)
    people, references = true_references(identities, true)
    return rank1(rms_distances(predicted, references, basis), identities, people)


def control_auc(
    parameters: Tensor,
    identities: Tensor,
    groups: Tensor,
    basis: Tensor,
    control: Literal["shape", "albedo"] = "albedo",
    seed: int = 0,
) -> float:
    """Geometry verification AUC of a control set, in which albedo must not help.

    `control_albedo_auc`: different shapes under the same albedo; impostor pairs are two shapes that share an albedo.
    `control_shape_auc`: the same shape under different albedos; genuine pairs are one shape under two albedos.
    Shapes that carry imprinted albedo look alike in the first and differ in the second.

    Source: ours [O] (methods.md, "Metrics": faithfulness).

    Args:
        parameters: (N, K) whitened predictions.
        identities: (N,) int64, >= 0: equal where the true *shape* is.
        groups: (N,) int64: equal where the albedo is.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.
        control: which of the two.
        seed: of the impostor pairs.

    Returns:
        The AUC; 0.5 is chance.

    Raises:
        RecfaceError: where the control has no genuine or no impostor pair, or as `geometry_distance_pairs`.
    """
    require_same_length(parameters=parameters, identities=identities, groups=groups)
    pairing = "genuine_across" if control == "shape" else "impostors_within"
    pairs = verification_pairs(identities, folds=1, seed=seed, groups=groups, pairing=pairing)
    return auc(-geometry_distance_pairs(parameters, pairs.first, pairs.second, basis), pairs.same)
