"""Is a person recognized by the predicted shape, and is what it is recognized by true?

Predicted shapes are compared with the true shape of each person, with a photo that stands in for it, or with all
photos of a gallery. Faithfulness tells true shape from imprinted appearance, where the true shape is known.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.geometry import geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.requirements import require_finite, require_identities, require_same_length
from recface.metrics.functional.verification import Pairing, auc, tar_at_far, verification_pairs
from recface.metrics.functional.weights import pair_weights, photo_weights, weighted_mean


def reference_photos(identities: Tensor, yaw_abs: Tensor, expression_norm: Tensor) -> Tensor:
    """The most frontal, most neutral photo of each person, to stand in for an unknown true shape.

    Source: ours; "most" is by max(0, cos yaw) exp(-||expression|| / 3), the weight with which SIR's centers count a
    photo (methods.md, "SIR": weighted center [C]). Leave these rows out of the probes.

    Args:
        identities: (N,) int64, >= 0.
        yaw_abs: (N,) radians.
        expression_norm: (N,) norm of the expression coefficients.

    Returns:
        (R,) int64 rows, one per person, in ascending order of identity; the first row among equals.

    Raises:
        RecfaceError: for mismatched sizes, an unknown identity, or when no person has a second photo.
    """
    size = require_same_length(identities=identities, yaw_abs=yaw_abs, expression_norm=expression_norm)
    require_identities(identities)
    if len(identities.unique()) == size:
        raise RecfaceError("every person has a single photo, so none is left to compare with its reference; add photos")
    weight = yaw_abs.double().cos().clamp_min(0) * torch.exp(-expression_norm.double() / 3)
    require_finite("yaw and expression of the photos", weight)
    best_first = weight.argsort(descending=True, stable=True)
    return best_first[np.unique(identities[best_first].cpu(), return_index=True)[1]]


def true_references(identities: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """One true shape per person, taken from a true shape per photo.

    Source: ours (methods.md, "Metrics").

    Args:
        identities: (N,) int64, >= 0.
        true: (N, K) parameters, equal for all photos of a person.

    Returns:
        (R,) ascending identities and their (R, K) parameters.

    Raises:
        RecfaceError: where two photos of a person disagree.
    """
    require_same_length(identities=identities, true=true)
    require_identities(identities)
    people, person = torch.unique(identities, return_inverse=True)
    parameters = true[np.unique(identities.cpu(), return_index=True)[1]]
    wrong = (~torch.isclose(true, parameters[person], rtol=1e-3, atol=1e-4).all(dim=1)).nonzero().flatten()
    if len(wrong):
        raise RecfaceError(
            f"true parameters: row {int(wrong[0])} differs from another photo of person {int(identities[wrong[0]])}; "
            "a person has one neutral shape"
        )
    return people, parameters


COINCIDENT_MM = 1e-6  # references closer than this differ by rounding alone


def rms_distances(a: Tensor, b: Tensor, basis: Tensor) -> Tensor:
    """Root mean square vertex distance between every two neutral shapes, (N, M) float64 in mm.

    Source: ours (methods.md, "Metrics": d of the SIR metric), by way of `geometry_coordinates`.

    Args:
        a: (N, K) whitened parameters.
        b: (M, K) whitened parameters.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.

    Raises:
        RecfaceError: for mismatched sizes or parameters that are not finite.
    """
    # The faster product form loses the small distances to cancellation.
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(geometry_coordinates(a, basis), geometry_coordinates(b, basis), compute_mode=mode)


def _own_reference(distances: Tensor, probe_identity: Tensor, reference_identity: Tensor) -> Tensor:
    """(N, R) bool, True where the reference is the probe's own person; exactly one per row."""
    if distances.shape != (len(probe_identity), len(reference_identity)) or not distances.numel():
        raise RecfaceError(
            f"distances are {tuple(distances.shape)}, expected ({len(probe_identity)}, {len(reference_identity)})"
            ": one row per probe, one column per reference"
        )
    require_finite("distances", distances)
    own = probe_identity[:, None] == reference_identity[None]
    wrong = (own.sum(dim=1) != 1).nonzero().flatten()
    if len(wrong):
        raise RecfaceError(
            f"probe {int(wrong[0])} of person {int(probe_identity[wrong[0]])} has {int(own[wrong[0]].sum())} references"
            "; give each person exactly one"
        )
    return own


def sir_metric(
    distances: Tensor,
    probe_identity: Tensor,
    reference_identity: Tensor,
    reference_distances: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """How much nearer a photo's shape is to its own person than to others, in units of how far people are apart.

    mean over i of (mean_{j != y} d(i, r_j) - d(i, r_y)) / mean_{j != k} d(r_j, r_k); 1 is perfect, 0 is chance.

    Source: ours [O] (methods.md, "Metrics"); the authors' formula is not published in what we have.

    Args:
        distances: (N, R) mm, from probes to references.
        probe_identity: (N,) int64.
        reference_identity: (R,) int64, each person once.
        reference_distances: (R, R) mm, between references.
        weights: (N,) of the probes; the references stay as they are.

    Returns:
        The value; 0 where all references coincide, as these tell nobody apart.

    Raises:
        RecfaceError: for mismatched sizes, fewer than two references, or a probe without exactly one reference.
    """
    own = _own_reference(distances, probe_identity, reference_identity)
    count = len(reference_identity)
    if count < 2 or reference_distances.shape != (count, count):
        raise RecfaceError(
            f"reference distances have shape {tuple(reference_distances.shape)} for {count} references; "
            "expected a square of two people or more"
        )
    to_own = distances[own]  # one per row, in row order
    to_others = (distances.sum(dim=1) - to_own) / (count - 1)
    apart = float((reference_distances.sum() - reference_distances.trace()) / (count * (count - 1)))
    nearer = weighted_mean(to_others - to_own, weights)
    return nearer / apart if apart > COINCIDENT_MM else 0 * nearer


def rank1(
    distances: Tensor, probe_identity: Tensor, reference_identity: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Share of probes whose nearest reference is their own person.

    Source: field; ours: k references tied for nearest count 1/k, so that shapes collapsed to the mean score chance.
    Arguments and errors as `sir_metric`. The rate is in [0, 1].
    """
    own = _own_reference(distances, probe_identity, reference_identity)
    nearest = distances == distances.amin(dim=1, keepdim=True)
    return weighted_mean(nearest[own].double() / nearest.sum(dim=1), weights)


def recognition(
    parameters: Tensor,
    identities: Tensor,
    references: Tensor,
    reference_identity: Tensor,
    basis: Tensor,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """`sir` and `rank1`: the SIR metric and the rank-1 rate of predicted shapes against reference shapes.

    Source: ours [O] (methods.md, "Metrics").

    Args:
        parameters: (N, K) whitened predictions.
        identities: (N,) int64.
        references: (R, K) whitened.
        reference_identity: (R,) int64, each person once.
        basis: (V, 3, K) mm.
        weights: (N,) of the predictions.
    """
    distances = rms_distances(parameters, references, basis)
    apart = rms_distances(references, references, basis)
    return {
        "sir": sir_metric(distances, identities, reference_identity, apart, weights),
        "rank1": rank1(distances, identities, reference_identity, weights),
    }


def decoded_recognition(
    parameters: Tensor,
    identities: Tensor,
    yaw_abs: Tensor,
    expression_norm: Tensor,
    basis: Tensor,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """`recognition` against each person's own most frontal, most neutral photo, for data without true shapes.

    Source: ours [O] (methods.md, "Metrics"). Arguments as `reference_photos` and `recognition`. Where the
    truth is known too, what this exceeds `recognition` by is imprinted: consistent for a person, but not their shape.
    """
    rows = reference_photos(identities, yaw_abs, expression_norm)
    probe = torch.ones(len(identities), dtype=torch.bool, device=identities.device)
    probe[rows] = False
    chosen = None if weights is None else weights[probe]
    return recognition(parameters[probe], identities[probe], parameters[rows], identities[rows], basis, chosen)


MATCHED_BY = ("gender", "ethnicity")
"""Columns of a table of photographs that matched impostors share."""


def matched_groups(labels: Mapping[str, Any], count: int) -> Tensor:
    """The group of each photo: equal where all columns of `MATCHED_BY` are.

    Source: ours (methods.md, "Metrics": photographs).

    Args:
        labels: Column to (N,) text, such as a table; an empty cell, or a column that is not there, is unknown.
        count: N.

    Returns:
        (N,) int64 from 0; -1 for a photo of which a column is unknown.
    """
    unknown = np.full(count, "")
    cells = np.stack([np.asarray(labels.get(name, unknown), str) for name in MATCHED_BY], axis=1)
    group = np.unique(cells, axis=0, return_inverse=True)[1].reshape(count)
    return torch.from_numpy(np.where((cells == "").any(axis=1), -1, group))


def cross_verification(
    parameters: Tensor,
    identities: Tensor,
    gallery: Tensor,
    basis: Tensor,
    sigma: Tensor,
    weights: Tensor | None = None,
    groups: Tensor | None = None,
) -> dict[str, Tensor]:
    """How well shapes tell whether a probe and a gallery photo show one person, such as smiling against neutral.

    Source: ours (methods.md, "Metrics": photographs). Few people are used to the full: all pairs count.

    Args:
        parameters: (N, K) whitened, of gallery photos (one a person) and probes.
        identities: (N,) int64.
        gallery: (N,) bool; the other photos are probes.
        basis: (V, 3, K) mm.
        sigma: (K,) mm.
        weights: (P,) of the people.
        groups: (N,) int64, as from `matched_groups`; negative = unknown.

    Returns:
        param_auc and param_tar (TAR at FAR 1%) by cosine of sigma-weighted parameters; geometry_auc and geometry_tar by
        mean vertex distance; the same as matched_param_auc and so on, over all genuine pairs and the impostor pairs of
        one known group, if there are any; rank1 by RMS vertex distance over probes whose person is in the gallery.

    Raises:
        RecfaceError: There is no genuine or no impostor pair, or values are not finite.
    """
    photos = photo_weights(weights, identities)
    probes, kept = (~gallery).nonzero().flatten(), gallery.nonzero().flatten()
    first, second = torch.cartesian_prod(probes, kept).T
    same = identities[first] == identities[second]
    of_pairs = pair_weights(photos, first, second, same)
    scores = {
        "param": torch.cosine_similarity(parameters[first] * sigma, parameters[second] * sigma, dim=1),
        "geometry": -geometry_distance_pairs(parameters, first, second, basis),
    }
    compared: dict[str, Tensor | slice] = {"": slice(None)}
    if groups is not None:
        alike = ~same & (groups[first] >= 0) & (groups[first] == groups[second])
        compared |= {"matched_": same | alike} if alike.any() else {}
    metrics = {}
    for beginning, chosen in compared.items():
        kept_weights = None if of_pairs is None else of_pairs[chosen]
        for space, values in scores.items():
            metrics[f"{beginning}{space}_auc"] = auc(values[chosen], same[chosen], kept_weights)
            metrics[f"{beginning}{space}_tar"] = tar_at_far(values[chosen], same[chosen], weights=kept_weights)
    known = probes[torch.isin(identities[probes], identities[kept])]
    distances = rms_distances(parameters[known], parameters[kept], basis)
    of_probes = None if photos is None else photos[known]
    return metrics | {"rank1": rank1(distances, identities[known], identities[kept], of_probes)}


def truth_cosine(predicted: Tensor, true: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cosine of predicted to true parameters, in [-1, 1], which rescaling cannot raise; the mean face counts 0.

    Source: ours [O] (methods.md, "Metrics": faithfulness).

    Args:
        predicted: (N, K) sigma-weighted, mm.
        true: (N, K) sigma-weighted, mm.
        weights: (N,) of the rows.

    Raises:
        RecfaceError: for mismatched sizes or values that are not finite.
    """
    require_same_length(predicted=predicted, true=true)
    if predicted.shape != true.shape:
        raise RecfaceError(f"predicted {tuple(predicted.shape)} and true {tuple(true.shape)} parameters differ")
    require_finite("predicted parameters", predicted)
    require_finite("true parameters", true)
    return weighted_mean(torch.cosine_similarity(predicted.double(), true.double(), dim=1), weights)


def control_auc(
    parameters: Tensor,
    identities: Tensor,
    groups: Tensor,
    basis: Tensor,
    control: Literal["shape", "albedo"] = "albedo",
    seed: int = 0,
    weights: Tensor | None = None,
) -> Tensor:
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
        weights: (P,) of the people.

    Returns:
        The AUC; 0.5 is chance.

    Raises:
        RecfaceError: where the control has no genuine or no impostor pair, or as `geometry_distance_pairs`.
    """
    require_same_length(parameters=parameters, identities=identities, groups=groups)
    pairing: Pairing = "genuine_across" if control == "shape" else "impostors_within"
    pairs = verification_pairs(identities, folds=1, seed=seed, groups=groups, pairing=pairing)
    of_pairs = pair_weights(photo_weights(weights, identities), pairs.first, pairs.second, pairs.same)
    return auc(-geometry_distance_pairs(parameters, pairs.first, pairs.second, basis), pairs.same, of_pairs)
