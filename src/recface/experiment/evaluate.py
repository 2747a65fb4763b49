"""Predict every evaluation photo once, keep the predictions, and compute all metrics from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.data import Source
from recface.data.sources import embedded_source
from recface.experiment.predictors import Predictor
from recface.experiment.setup import Workbench
from recface.face_model import FaceModel
from recface.face_model.residual import change_of_latents
from recface.metrics import evaluate_shapes, masked_basis, shape_errors
from recface.metrics.functional import control_auc, landmark_nme
from recface.metrics.functional.joint import JointSpace, joint_space

Predictions = dict[str, np.ndarray]
CONTROLS = ("shape", "albedo")


class Geometry:
    """The face region of the model that predictions are made with, as the metrics take it.

    Args:
        bench: Face model of the truth.
        face_model: That of the predictions, where it is another one.

    Attributes:
        basis: (M, 3, K) mm, from whitened parameters, at the masked vertices.
        mean: (M, 3) mm, of the benchmark's face model.
        sigma: (K,) mm.
        joint: Where the benchmark's truth is of another model: the space that holds both.
    """

    def __init__(self, bench: Workbench, face_model: FaceModel | None = None) -> None:
        true, model = bench.face_model, face_model or bench.face_model
        self.basis = masked_basis(model.identity_basis, model.identity_sigma, true.face_mask)
        self.mean, self.sigma = true.mean[true.face_mask], model.identity_sigma
        self.joint: JointSpace | None = None
        self._nearest: tuple[Tensor, Tensor] | None = None
        if model is not true:
            both = [(part.mean, part.identity_basis, part.identity_sigma) for part in (model, true)]
            self.joint = joint_space(both[0], both[1], true.face_mask)
            self._nearest = change_of_latents(true, model)

    def nearest(self, true: np.ndarray) -> np.ndarray:
        """True parameters (P, K) as the nearest ones of the model that predicts, for the stored predictions."""
        if self._nearest is None:
            return true
        matrix, offset = self._nearest
        return (torch.from_numpy(true).float() @ matrix.T + offset).numpy()

    def errors(self, predicted: Tensor, true: Tensor) -> Tensor:
        """(N,) mean per-vertex errors in mm of predicted against true parameters."""
        if self.joint is None:
            return shape_errors(predicted, true, self.basis, self.mean)
        return shape_errors(self.joint.predicted(predicted), self.joint.true(true), self.joint.basis, self.mean)

    @property
    def gram(self) -> Tensor:
        """(K, K) G with d^T G d = mean squared vertex distance, for distances without the basis."""
        flat = self.basis.flatten(0, 1)
        return flat.T @ flat / len(self.basis)


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Leave out what is undefined for these predictions, such as the clusters of shapes that are all equal."""
    return {key: value for key, value in metrics.items() if np.isfinite(value)}


def evaluate_split(
    predictor: Predictor, bench: Workbench, split: str, face_model: FaceModel | None = None
) -> tuple[dict[str, float], Predictions]:
    """All metrics of a split with true shapes.

    Args:
        predictor: What predicts, such as a `Network`.
        bench: Face model and benchmark.
        split: "validation" or "test".
        face_model: That of the predictions, where it is another one.

    Returns:
        Metrics by key; predictions as predictions.npz holds them, under names that begin with the split's.
    """
    source, geometry = embedded_source(bench.benchmark, split), Geometry(bench, face_model)
    output = predictor(source)
    person, true = torch.from_numpy(source.identity), torch.from_numpy(source.identity_parameters)
    yaw = torch.from_numpy(source.extra["angles"][:, 1]).abs()
    expression = output["expression"].norm(dim=1) if "expression" in output else None
    metrics = evaluate_shapes(
        output["identity"],
        person,
        geometry.basis,
        geometry.mean,
        geometry.sigma,
        true,
        joint=geometry.joint,
        yaw_abs=yaw,
        expression_norm=expression,
    )
    errors = geometry.errors(output["identity"], true)
    people = np.unique(source.identity)
    first = np.searchsorted(source.identity, people)
    predictions = {
        f"{split}_parameters": output["identity"].numpy(),
        f"{split}_identity": source.identity,
        f"{split}_people": people,
        f"{split}_true": geometry.nearest(source.identity_parameters[first]),
        f"{split}_shape_error": errors.numpy(),
        f"{split}_yaw_abs": yaw.numpy(),
    }
    if expression is not None:
        predictions[f"{split}_expression_norm"] = expression.numpy()
    if "landmarks" in output:
        nme = landmark_nme(output["landmarks"], torch.from_numpy(source.landmarks))
        metrics["nme"] = float(nme.mean())
        predictions[f"{split}_nme"] = nme.numpy()
    return finite(metrics), predictions


def evaluate_control(
    predictor: Predictor, bench: Workbench, control: str, face_model: FaceModel | None = None
) -> tuple[dict[str, float], Predictions]:
    """Verification on one of the two control sets: do shapes recognise by appearance?

    Source: ours (methods.md, "Metrics": faithfulness).

    Args:
        predictor: As for `evaluate_split`.
        bench: Face model and benchmark.
        control: One of `CONTROLS`: what all photos of a set share.
        face_model: That of the predictions, where it is another one.
    """
    source, geometry = embedded_source(bench.benchmark, f"control_{control}"), Geometry(bench, face_model)
    parameters = predictor(source)["identity"]
    person, group = torch.from_numpy(source.identity), torch.from_numpy(source.extra["albedo"])
    auc = control_auc(parameters, person, group, geometry.basis, control)
    return finite({f"control_{control}_auc": auc}), {
        f"control_{control}_parameters": parameters.numpy(),
        f"control_{control}_identity": source.identity,
        f"control_{control}_group": source.extra["albedo"],
    }


def evaluate_run(
    predictor: Predictor,
    bench: Workbench,
    face_model: FaceModel | None = None,
    covers: Callable[[Source], bool] = lambda source: True,
) -> tuple[dict[str, dict[str, float]], Predictions]:
    """Everything a run reports from the benchmark, whatever predicts.

    Args:
        predictor: As for `evaluate_split`.
        bench: Face model and benchmark.
        face_model: That of the predictions, where it is another one.
        covers: Whether the predictor can do a source; only the test set must be among them.

    Returns:
        Metrics by block ("validation", "benchmark"), and the content of predictions.npz.
    """
    metrics, geometry = {}, Geometry(bench, face_model)
    if covers(embedded_source(bench.benchmark, "validation")):
        metrics["validation"], _ = evaluate_split(predictor, bench, "validation", face_model)
    metrics["benchmark"], predictions = evaluate_split(predictor, bench, "test", face_model)
    for control in CONTROLS:
        if covers(embedded_source(bench.benchmark, f"control_{control}")):
            values, found = evaluate_control(predictor, bench, control, face_model)
            metrics["benchmark"] |= values
            predictions |= found
    shared: dict[str, Any] = {"basis_gram": geometry.gram.numpy(), "identity_sigma": geometry.sigma.numpy()}
    return metrics, predictions | shared
