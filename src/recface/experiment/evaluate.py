"""Predict every evaluation photo once, keep the predictions, and compute all metrics from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.data import Source
from recface.data.sources import embedded_source
from recface.experiment.setup import Workbench
from recface.face_model.residual import change_of_latents
from recface.metrics import evaluate_shapes, masked_basis, shape_errors
from recface.metrics.functional import control_auc, landmark_nme
from recface.metrics.functional.joint import JointSpace, joint_space
from recface.render import project
from recface.variants import Reconstruction

Predictions = dict[str, np.ndarray]
CHUNK = 128


@torch.no_grad()
def predict(variant: Reconstruction, source: Source) -> dict[str, Tensor]:
    """Run the network over a source.

    Args:
        variant: A trained variant.
        source: N photos.

    Returns:
        identity (N, K) as parameters of the exported face model, expression (N, E) and projected landmarks (N, 68, 2),
        on the CPU in float32.
    """
    variant.eval()
    device, parts = variant.device, []
    turn = variant.exported()[1]
    for start in range(0, len(source), CHUNK):
        photos = torch.from_numpy(np.array(source.images[start : start + CHUNK])).to(device)
        coefficients = variant(photos.float() / 255)
        marks = variant.face_model.landmarks(coefficients.identity, coefficients.expression)
        placed = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
        identity = coefficients.identity if turn is None else coefficients.identity @ turn.to(device)
        parts.append({"identity": identity, "expression": coefficients.expression, "landmarks": placed})
    return {key: torch.cat([part[key] for part in parts]).float().cpu() for key in parts[0]}


class Geometry:
    """The face region of the model that a variant predicts with, as the metrics take it.

    Attributes:
        basis: (M, 3, K) mm, from whitened parameters, at the masked vertices.
        mean: (M, 3) mm, of the benchmark's face model.
        sigma: (K,) mm.
        joint: Where the benchmark's truth is of another model: the space that holds both.
    """

    def __init__(self, bench: Workbench, variant: Reconstruction) -> None:
        true, model = bench.face_model, variant.exported()[0]
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


def evaluate_split(variant: Reconstruction, bench: Workbench, split: str) -> tuple[dict[str, float], Predictions]:
    """All metrics of a split with true shapes.

    Args:
        variant: A trained variant.
        bench: Face model and benchmark.
        split: "validation" or "test".

    Returns:
        Metrics by key; predictions as predictions.npz holds them, under names that begin with the split's.
    """
    source, geometry = embedded_source(bench.benchmark, split), Geometry(bench, variant)
    output = predict(variant, source)
    person, true = torch.from_numpy(source.identity), torch.from_numpy(source.identity_parameters)
    yaw, expression = torch.from_numpy(source.extra["angles"][:, 1]).abs(), output["expression"].norm(dim=1)
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
    nme = landmark_nme(output["landmarks"], torch.from_numpy(source.landmarks))
    errors = geometry.errors(output["identity"], true)
    people = np.unique(source.identity)
    first = np.searchsorted(source.identity, people)
    return metrics | {"nme": float(nme.mean())}, {
        f"{split}_parameters": output["identity"].numpy(),
        f"{split}_identity": source.identity,
        f"{split}_people": people,
        f"{split}_true": geometry.nearest(source.identity_parameters[first]),
        f"{split}_shape_error": errors.numpy(),
        f"{split}_nme": nme.numpy(),
        f"{split}_yaw_abs": yaw.numpy(),
        f"{split}_expression_norm": expression.numpy(),
    }


def evaluate_controls(variant: Reconstruction, bench: Workbench) -> tuple[dict[str, float], Predictions]:
    """Verification on the two control sets: do shapes recognise by appearance? See DESIGN.md, faithfulness."""
    geometry, metrics, predictions = Geometry(bench, variant), {}, {}
    for control in ("shape", "albedo"):
        source = embedded_source(bench.benchmark, f"control_{control}")
        parameters = predict(variant, source)["identity"]
        person, group = torch.from_numpy(source.identity), torch.from_numpy(source.extra["albedo"])
        metrics[f"control_{control}_auc"] = control_auc(parameters, person, group, geometry.basis, control)
        predictions |= {
            f"control_{control}_parameters": parameters.numpy(),
            f"control_{control}_identity": source.identity,
            f"control_{control}_group": source.extra["albedo"],
        }
    return metrics, predictions


def evaluate_run(variant: Reconstruction, bench: Workbench) -> tuple[dict[str, dict[str, float]], Predictions]:
    """Everything a run reports from the benchmark.

    Returns:
        Metrics by block ("validation", "benchmark"), and the content of predictions.npz.
    """
    validation, _ = evaluate_split(variant, bench, "validation")
    test, predictions = evaluate_split(variant, bench, "test")
    controls, control_predictions = evaluate_controls(variant, bench)
    geometry = Geometry(bench, variant)
    shared: dict[str, Any] = {"basis_gram": geometry.gram.numpy(), "identity_sigma": geometry.sigma.numpy()}
    metrics = {"validation": validation, "benchmark": test | controls}
    return metrics, predictions | control_predictions | shared
