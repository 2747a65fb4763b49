"""Verification of real photographs: a person's neutral photo against smiling ones, theirs and other people's.

What predicts photos: a trained variant, and any predictor with a clock.

Predict every evaluation photo once, keep the predictions, and compute all metrics from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.data import Source
from recface.data.photos import canonical_landmarks
from recface.data.sources import embedded_source, manifest_source
from recface.data.workbench import Workbench
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.residual import change_of_latents
from recface.metrics import evaluate_shapes, masked_basis, shape_errors
from recface.metrics.functional import control_auc, landmark_nme
from recface.metrics.functional import cross_verification
from recface.metrics.functional.geometry import JointSpace, joint_space
from recface.render import project
from recface.variants import Reconstruction

Predictor = Callable[[Source], dict[str, Tensor]]
"""Anything that reconstructs N photos of a source: identity (N, K) and, as known, expression (N, E) and landmarks
(N, 68, 2)."""
CHUNK = 128


class Timed:
    """A predictor that counts photos and CPU seconds: wall-clock time would depend on what else the machine does.

    On a CUDA device the seconds are those of the host, which waits for the result.

    Args:
        predictor: What predicts.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.photos, self.seconds = predictor, 0, 0.0

    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Predict a source."""
        begin = time.process_time()
        output = self.predictor(source)
        self.seconds, self.photos = self.seconds + time.process_time() - begin, self.photos + len(source)
        return output

    @property
    def timings(self) -> dict[str, float]:
        """CPU seconds per photo, as records hold them; from all photos so far."""
        return {"image_cpu_seconds": self.seconds / self.photos} if self.photos else {}


class Network:
    """A trained variant as a predictor.

    Args:
        variant: The variant; its weights must not change from here on.

    Attributes:
        face_model: The plain face model that its predictions are parameters of.
    """

    def __init__(self, variant: Reconstruction) -> None:
        self.variant = variant.eval()
        self.face_model, self._turn = variant.exported()

    @torch.no_grad()
    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Run the network over N photos.

        Returns:
            identity (N, K) as parameters of `face_model`, expression (N, E) and projected landmarks (N, 68, 2), on the
            CPU in float32.
        """
        variant, parts = self.variant, []
        for start in range(0, len(source), CHUNK):
            photos = torch.from_numpy(np.array(source.images[start : start + CHUNK])).to(variant.device)
            coefficients = variant(photos.float() / 255)
            marks = variant.face_model.landmarks(coefficients.identity, coefficients.expression)
            placed = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
            identity = coefficients.identity
            if self._turn is not None:
                identity = identity @ self._turn.to(variant.device)
            parts.append({"identity": identity, "expression": coefficients.expression, "landmarks": placed})
        return {key: torch.cat([part[key] for part in parts]).float().cpu() for key in parts[0]}


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


def open_photos(bench: Workbench, path: str) -> Source:
    """Photographs of people as a source, cropped to the suite's framing.

    Args:
        bench: Face model and image size.
        path: Folder with faces.csv, whose columns identity and expression say who and "neutral" or other.

    Raises:
        RecfaceError: The table does not name people, or nobody has both a neutral and another photo.
    """
    size = bench.config["scale"]["image_size"]
    source = manifest_source(path, canonical_landmarks(bench.face_model), size, name="photos")
    if source.identity is None or "expression" not in source.extra:
        raise RecfaceError(f"data.photos: {path}: the table needs the columns identity and expression")
    neutral = source.extra["expression"] == "neutral"
    if not np.intersect1d(source.identity[neutral], source.identity[~neutral]).size:
        raise RecfaceError(f"data.photos: {path}: nobody has both a photo marked 'neutral' and another")
    return source


def evaluate_photos(
    predictor: Predictor, bench: Workbench, source: Source, face_model: FaceModel | None = None
) -> tuple[dict[str, float], Predictions]:
    """Verify real people by the shapes of their photographs. Nothing is ever tuned on these.

    Args:
        predictor: As for `evaluate_split`.
        bench: Face model.
        source: From `open_photos`.
        face_model: That of the predictions, where it is another one.

    Returns:
        Metrics of the block "photos"; predictions under names that begin with photos_.
    """
    neutral = source.extra["expression"] == "neutral"
    gallery, probes = np.flatnonzero(neutral), np.flatnonzero(~neutral)
    parameters, geometry = predictor(source)["identity"], Geometry(bench, face_model)
    metrics = cross_verification(
        parameters[gallery],
        torch.from_numpy(source.identity[gallery]),
        parameters[probes],
        torch.from_numpy(source.identity[probes]),
        geometry.basis,
        geometry.sigma,
    )
    return finite(metrics), {
        "photos_parameters": parameters.numpy(),
        "photos_identity": source.identity,
        "photos_expression": neutral,
    }
