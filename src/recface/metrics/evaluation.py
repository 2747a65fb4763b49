"""All metrics of a test set from its predicted shape parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from recface.metrics.functional.distribution import clustering, parameter_energy, prior_kl
from recface.metrics.functional.errors import per_vertex_error
from recface.metrics.functional.geometry import JointSpace, check_basis, geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.recognition import (
    control_auc,
    cross_verification,
    decoded_recognition,
    recognition,
    true_references,
    truth_cosine,
)
from recface.metrics.functional.requirements import require_identities, require_modes, require_same_length
from recface.metrics.functional.verification import Pairs, auc, cosine_scores, verification, verification_pairs
from recface.metrics.functional.weights import pair_weights, photo_weights, weighted_mean
from recface.metrics.influence import influence_arrays, measure


def masked_basis(identity_basis: Tensor, identity_sigma: Tensor, mask: Tensor) -> Tensor:
    """The basis of all geometry metrics, (M, 3, K): from whitened parameters to mm at the M masked vertices. Ours.

    Args:
        identity_basis: (3V, K) orthonormal columns.
        identity_sigma: (K,) mm.
        mask: (V,) bool.
    """
    return (identity_basis * identity_sigma).reshape(len(mask), 3, -1)[mask]


def shape_errors(predicted: Tensor | None, true: Tensor, basis: Tensor, mean: Tensor, chunk: int = 128) -> Tensor:
    """`functional.per_vertex_error` (N,) in mm of neutral shapes, a chunk at a time: memory stays flat, work in cache.

    Args:
        predicted: (N, K) whitened, or None for the mean face.
        true: (N, K) whitened.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.
        mean: (V, 3) mm, masked.
        chunk: shapes held at a time.
    """
    flat = basis.reshape(-1, basis.shape[2]).T.contiguous()
    origin = torch.zeros_like(true) if predicted is None else predicted
    errors = [
        per_vertex_error((a @ flat).view(len(a), -1, 3) + mean, (b @ flat).view(len(b), -1, 3) + mean)
        for a, b in zip(origin.split(chunk), true.split(chunk), strict=True)
    ]
    return torch.cat(errors)


@dataclass(frozen=True)
class MeasuredShapes:
    """Predicted shapes of a test set with what they are compared with, and the metrics of both.

    Distances, pairs and errors are computed once, for the test set and for the conditions within it.

    Source: ours [O] (methods.md, "Metrics"); each metric's own source is with its function.
    """

    predicted: Tensor  # (N, K) whitened
    identity: Tensor  # (N,) int64, >= 0, of P people
    sigma: Tensor  # (K,) mm
    basis: Tensor | None
    """(V, 3, K) mm: `masked_basis`. None leaves out what needs geometry."""
    mean: Tensor | None = None  # (V, 3) mm, masked; read with `true` alone
    true: Tensor | None = None
    """(N, K) whitened, equal for all photos of a person. None leaves out what is measured against it."""
    joint: JointSpace | None = None
    """Given where `true` (N, L) are parameters of another face model, whose mean is then `mean`."""
    yaw_abs: Tensor | None = None  # (N,) radians; with `expression_norm` it says which photos are decoded references
    expression_norm: Tensor | None = None  # (N,) norm of the expression coefficients
    errors: Tensor | None = None  # (N,) mm shape errors, where they are known already
    nme: Tensor | None = None  # (N,) percent landmark errors; None leaves out the NME
    folds: int = 10  # of verification; takes at least two people each
    seed: int = 0  # of the folds and impostor pairs

    def checked(self) -> "MeasuredShapes":
        """The same in single precision, with the shape errors where `true` tells them.

        Raises:
            RecfaceError: for mismatched sizes, values that are not finite, or unknown people.
        """
        require_same_length(predicted=self.predicted, identity=self.identity)
        require_identities(self.identity)
        given = {
            name: value.detach().float()
            for name in ("predicted", "basis", "mean", "sigma", "true")
            if (value := getattr(self, name)) is not None
        }
        require_modes("sigma (as one row)", given["sigma"][None], self.predicted.shape[1])
        if self.basis is not None:
            check_basis(given["predicted"], given["basis"], "predicted parameters")
        if self.true is None:
            return replace(self, **given)
        require_same_length(predicted=self.predicted, true=self.true)
        shapes = replace(self, **given)
        if self.joint is None:
            check_basis(given["true"], given["basis"], "true parameters")
        if self.errors is not None:
            return shapes
        return replace(shapes, errors=shape_errors(*shapes._in_space_of_truth, given["mean"]))

    @cached_property
    def _in_space_of_truth(self) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted and true coordinates (N, D), and their basis (V, 3, D)."""
        assert self.true is not None and self.basis is not None
        if self.joint is None:
            return self.predicted, self.true, self.basis
        return self.joint.predicted(self.predicted), self.joint.true(self.true), self.joint.basis

    @cached_property
    def pairs(self) -> Pairs:
        """Pairs of photos to verify."""
        return verification_pairs(self.identity, self.folds, self.seed)

    @cached_property
    def distances(self) -> Tensor:
        """(Q,) mean vertex distances of the pairs in mm."""
        assert self.basis is not None
        return geometry_distance_pairs(self.predicted, self.pairs.first, self.pairs.second, self.basis)

    def metrics(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Every metric of the test set; `protocols.PROTOCOLS` says what each key means.

        Args:
            weights: (P,) of the people in ascending order of identity.

        Returns:
            Key to a float64 number, differentiable in the weights where they determine it. Clustering `_param` is on
            whitened parameters, `_geometry` on RMS vertex distance in mm; `param_` verification is by cosine on
            sigma-weighted parameters.

        Raises:
            RecfaceError: for too few people or photos.
        """
        photos, pairs = photo_weights(weights, self.identity), self.pairs
        of_pairs = pair_weights(photos, pairs.first, pairs.second, pairs.same)
        scores = {"param": cosine_scores(self.predicted * self.sigma, pairs)}
        points = {"param": self.predicted}
        if self.basis is not None:
            scores["geometry"] = -self.distances
            points["geometry"] = geometry_coordinates(self.predicted, self.basis)
        metrics = self._errors(photos)
        if self.true is not None:
            metrics |= self._against_truth(photos)
        for space, values in scores.items():
            found = verification(values, pairs.same, pairs.fold, of_pairs)
            metrics |= {
                f"{space}_auc": found["auc"],
                f"{space}_acc": found["accuracy"],
                f"{space}_tar": found["tar_at_far_1"],
            }
        if self.basis is not None and self.yaw_abs is not None and self.expression_norm is not None:
            decoded = decoded_recognition(
                self.predicted, self.identity, self.yaw_abs, self.expression_norm, self.basis, photos
            )
            metrics |= {f"{key}_decoded": value for key, value in decoded.items()}
        for space, at in points.items():
            metrics |= {f"{key}_{space}": value for key, value in clustering(at, self.identity, weights).items()}
        energy = parameter_energy(self.predicted, photos)
        return metrics | {"prior_kl": prior_kl(self.predicted, photos), "param_energy": energy}

    def _errors(self, photos: Tensor | None, chosen: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Mean errors of all photos, or of some."""
        known = {"shape_error_mm": self.errors, "nme": self.nme}
        kept = None if photos is None else photos[chosen]
        return {name: weighted_mean(values[chosen], kept) for name, values in known.items() if values is not None}

    def _against_truth(self, photos: Tensor | None) -> dict[str, Tensor]:
        assert self.mean is not None
        placed, true, basis = self._in_space_of_truth
        people, references = true_references(self.identity, true)
        mean_face = shape_errors(None, true, basis, self.mean)
        if self.joint is None:
            sides = placed * self.sigma, true * self.sigma
        else:
            sides = placed.double() @ self.joint.root, true.double() @ self.joint.root
        return {
            "mean_face_error_mm": weighted_mean(mean_face, photos),
            **recognition(placed, self.identity, references, people, basis, photos),
            "truth_cosine": truth_cosine(*sides, photos),
        }

    def under(self, conditions: Mapping[str, Tensor], weights: Tensor | None = None) -> dict[str, Tensor]:
        """Metrics of the photos under each condition.

        Source: ours. Errors are means over the photos under the condition. Geometry AUC is over the pairs of the whole
        test set of which at least one photo is under the condition.

        Args:
            conditions: Name to (N,) bool.
            weights: As for `metrics`.

        Returns:
            `<condition>/<metric>` to value, without what too few photos leave open.
        """
        photos, pairs = photo_weights(weights, self.identity), self.pairs
        of_pairs = pair_weights(photos, pairs.first, pairs.second, pairs.same)
        metrics: dict[str, Tensor] = {}
        for name, chosen in conditions.items():
            if not chosen.any():
                continue
            metrics |= {f"{name}/{metric}": value for metric, value in self._errors(photos, chosen).items()}
            rows = chosen[pairs.first] | chosen[pairs.second]
            same = pairs.same[rows]
            if self.basis is not None and same.any() and not same.all():
                kept = None if of_pairs is None else of_pairs[rows]
                metrics[f"{name}/geometry_auc"] = auc(-self.distances[rows], same, kept)
        return metrics


def evaluate_shapes(
    predicted: Tensor,
    identity: Tensor,
    basis: Tensor,
    mean: Tensor,
    sigma: Tensor,
    true: Tensor | None = None,
    **more: Any,
) -> dict[str, float]:
    """`MeasuredShapes.metrics` by key, unweighted; arguments and errors as `MeasuredShapes`."""
    shapes = MeasuredShapes(predicted, identity, sigma, basis, mean, true, **more).checked()
    return {key: float(value) for key, value in shapes.metrics().items()}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is undefined for these predictions, such as the clusters of shapes that are all equal."""
    return {key: value for key, value in metrics.items() if np.isfinite(value)}


Arrays = dict[str, np.ndarray]


def measured_blocks(
    shapes: MeasuredShapes, conditions: Mapping[str, Tensor]
) -> tuple[dict[str, dict[str, float]], np.ndarray, Arrays]:
    """Metrics of the test set and of the conditions (name to (N,) bool) within it, with the influence of each person.

    Returns:
        The blocks "benchmark" and "conditions"; the people (P,), ascending; and the influences as predictions.npz holds
        them.
    """
    people = shapes.identity.unique().numpy()

    def metrics(weights: Tensor) -> dict[str, Tensor]:
        found = {"benchmark": shapes.metrics(weights), "conditions": shapes.under(conditions, weights)}
        return {f"{block}/{key}": value for block, values in found.items() for key, value in values.items()}

    values, influences = measure(metrics, len(people))
    blocks: dict[str, dict[str, float]] = {"benchmark": {}, "conditions": {}}
    for name, value in finite(values).items():
        block, _, key = name.partition("/")
        blocks[block][key] = value
    return blocks, people, influence_arrays("test", people, influences)


def measured_control(
    parameters: Tensor, identity: Tensor, albedo: Tensor, basis: Tensor, control: Literal["shape", "albedo"]
) -> tuple[dict[str, float], Arrays]:
    """The metric of a control set by key, and the influences; arguments as `functional.control_auc`."""
    people, key = identity.unique().numpy(), f"control_{control}_auc"
    values, influences = measure(
        lambda weights: {key: control_auc(parameters, identity, albedo, basis, control, weights=weights)}, len(people)
    )
    named = {f"benchmark/{key}": value for key, value in influences.items()}
    return finite(values), influence_arrays(f"control_{control}", people, named)


def measured_photos(
    parameters: Tensor, identity: Tensor, neutral: Tensor, basis: Tensor, sigma: Tensor, groups: Tensor | None = None
) -> tuple[dict[str, float], Arrays]:
    """Metrics of photographs by key, and the influences; arguments as `functional.cross_verification`."""
    people = identity.unique().numpy()
    values, influences = measure(
        lambda weights: cross_verification(parameters, identity, neutral, basis, sigma, weights, groups), len(people)
    )
    named = {f"photos/{key}": value for key, value in influences.items()}
    return finite(values), influence_arrays("photos", people, named)
