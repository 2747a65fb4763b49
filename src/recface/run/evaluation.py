"""Evaluation: predict every photo once, keep the predictions, compute all metrics and their influences from them.

A predictor reconstructs the photos of a source: a trained variant (`Network`), or any method of the room `baselines`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recface.data import Source
from recface.data.benchmark.scene import named_conditions
from recface.data.framing import canonical_landmarks
from recface.data.sources import embedded_source, manifest_source, store_source
from recface.data.store import PhotoStore
from recface.data.workbench import Workbench
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.residual import change_of_latents
from recface.metrics import MeasuredShapes, SampleMetric, masked_basis, protocols
from recface.metrics.evaluation import finite, measured_blocks, measured_control, measured_photos
from recface.metrics.functional import MATCHED_BY, landmark_nme, matched_groups
from recface.metrics.functional.geometry import JointSpace, joint_space
from recface.metrics.functional.verification import equal_error
from recface.metrics.readers import match, read_truth
from recface.render import project
from recface.variants import Reconstruction
from recface.variants.trainer import quiet_trainer

Predictor = Callable[[Source], dict[str, Tensor]]
"""Anything that reconstructs N photos of a source: identity (N, K) and, as known, expression (N, E) and landmarks
(N, 68, 2)."""
CHUNK = 128


class Timed:
    """A predictor that counts photos and CPU seconds: wall-clock time would depend on what else the machine does.

    On a CUDA device the seconds are those of the host, which waits for the result.
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


class _Photos(Dataset):
    """Photos of a source with their rows, a batch at a time."""

    def __init__(self, source: Source) -> None:
        self.images = source.images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, rows: list[int]) -> dict[str, Tensor]:
        return {"index": torch.tensor(rows), "image": torch.from_numpy(np.array(self.images[rows]))}


class _Collection(lightning.LightningModule):
    """Predicts the photos that a trainer gives it, and keeps the predictions in their order.

    `predict` makes arrays of B rows, under the names in `fields`, from photos (B, 3, S, S) uint8.
    """

    def __init__(self, predict: Callable[[Tensor], dict[str, Tensor]], fields: tuple[str, ...]) -> None:
        super().__init__()
        self.predict = predict
        self.samples = SampleMetric(dict, fields, sync_on_compute=False)  # other processes may be training
        self.collected: dict[str, Tensor] = {}

    def test_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Predict a batch."""
        self.samples.update(batch["index"], **self.predict(batch["image"]))

    def on_test_epoch_end(self) -> None:
        """Gather."""
        self.collected = self.samples.compute()


class Network:
    """A trained variant as a predictor.

    Args:
        variant: The variant; its weights must not change from here on.
        accelerator: Where to predict, as in the group trainer: on one device.

    Attributes:
        face_model: The plain face model that its predictions are parameters of.
    """

    def __init__(self, variant: Reconstruction, accelerator: str = "cpu") -> None:
        self.variant = variant.eval()
        self.face_model, self._turn = variant.exported()
        self._accelerator = accelerator

    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Run the network over N photos.

        Returns:
            identity (N, K) as parameters of `face_model`, expression (N, E) and projected landmarks (N, 68, 2), on the
            CPU in float32.
        """
        photos = DataLoader(_Photos(source), batch_size=CHUNK, collate_fn=lambda batch: batch)
        collection = _Collection(self._predict, ("identity", "expression", "landmarks"))
        # Tensors made in inference mode could not take part in training, which may go on after this.
        options: dict[str, Any] = {"accelerator": self._accelerator, "devices": 1, "inference_mode": False}
        trainer = quiet_trainer(Path.cwd(), logger=False, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about loader workers and samplers, which does not apply here
            trainer.test(collection, photos, verbose=False)
        return {key: value.float().cpu() for key, value in collection.collected.items()}

    def _predict(self, photos: Tensor) -> dict[str, Tensor]:
        variant = self.variant.to(photos.device)
        coefficients = variant(photos.float() / 255)
        marks = variant.face_model.landmarks(coefficients.identity, coefficients.expression)
        placed = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
        identity = coefficients.identity
        if self._turn is not None:
            identity = identity @ self._turn.to(photos.device)
        return {"identity": identity, "expression": coefficients.expression, "landmarks": placed}


Predictions = dict[str, np.ndarray]
Control = Literal["shape", "albedo"]
CONTROLS: tuple[Control, ...] = ("shape", "albedo")


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

    @property
    def gram(self) -> Tensor:
        """(K, K) G with d^T G d = mean squared vertex distance, for distances without the basis."""
        flat = self.basis.flatten(0, 1)
        return flat.T @ flat / len(self.basis)


def _labels(source: Source) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """Identities, true parameters where known, and the other labels of photos to evaluate."""
    assert source.identity is not None and source.extra is not None
    return source.identity, source.identity_parameters, source.extra


def measured_shapes(predictor: Predictor, source: Source, geometry: Geometry) -> MeasuredShapes:
    """Predict a split of the benchmark, and bring predictions and true shapes together."""
    output = predictor(source)
    identity, true, extra = _labels(source)
    assert true is not None
    nme = landmark_nme(output["landmarks"], torch.from_numpy(source.landmarks)) if "landmarks" in output else None
    return MeasuredShapes(
        output["identity"],
        torch.from_numpy(identity),
        geometry.sigma,
        geometry.basis,
        geometry.mean,
        torch.from_numpy(true),
        joint=geometry.joint,
        yaw_abs=torch.from_numpy(extra["angles"][:, 1]).abs(),
        expression_norm=output["expression"].norm(dim=1) if "expression" in output else None,
        nme=nme,
    ).checked()


def evaluate_validation(
    predictor: Predictor, bench: Workbench, face_model: FaceModel | None = None
) -> dict[str, float]:
    """All metrics of the validation people by key; arguments as for `evaluate_run`."""
    source = embedded_source(bench.benchmark, "validation")
    shapes = measured_shapes(predictor, source, Geometry(bench, face_model))
    return finite({key: float(value) for key, value in shapes.metrics().items()})


def validation_threshold(predictor: Predictor, bench: Workbench, face_model: FaceModel | None = None) -> float:
    """Distance of neutral shapes in mm that tells the validation people apart with equal rates of both errors."""
    shapes = measured_shapes(predictor, embedded_source(bench.benchmark, "validation"), Geometry(bench, face_model))
    return -equal_error(-shapes.distances, shapes.pairs.same)[0]


def verify_store(predictor: Predictor, path: str | Path, size: int) -> dict[str, float]:
    """Ten-fold verification on parameters of the pairs of a prepared store, such as LFW's; keys as of the protocol.

    Args:
        predictor: A network.
        path: Folder of the store, with the `pairs.csv` that `recface prepare` writes for sets of pairs.
        size: Width and height of the network's photos.

    Raises:
        RecfaceError: The store or its pairs are missing or damaged.
    """
    protocol = protocols.BENCHMARKS["pairs-10fold-cos/v1"]
    truth = read_truth(Path(path) / "pairs.csv", protocol)
    store = PhotoStore(path)
    source = store_source(path, size, "trainer.validate_on")
    files = tuple(store.files(np.arange(len(store))))
    predictions = protocols.Predictions(files, predictor(source)["identity"].numpy(), where=str(path))
    matched = match(predictions, truth, protocol, allow_missing=True)
    return finite(protocol.evaluate(matched.predictions, matched.truth))


def evaluate_test(
    predictor: Predictor, bench: Workbench, geometry: Geometry
) -> tuple[dict[str, dict[str, float]], Predictions]:
    """All metrics of the test people.

    Returns:
        The blocks "benchmark" and "conditions"; predictions under names that begin with test_, the flags of the
        conditions, and the influences.
    """
    source = embedded_source(bench.benchmark, "test")
    shapes = measured_shapes(predictor, source, geometry)
    identity, true, _ = _labels(source)
    assert true is not None and shapes.errors is not None and shapes.yaw_abs is not None
    conditions = named_conditions(bench.benchmark.labels("test"))
    flags = {name: torch.from_numpy(chosen) for name, chosen in conditions.items()}
    blocks, people, found = measured_blocks(shapes, flags)
    first = np.searchsorted(identity, people)
    predictions = {
        "test_parameters": shapes.predicted.numpy(),
        "test_identity": identity,
        "test_people": people,
        "test_true": geometry.nearest(true[first]),
        "test_shape_error": shapes.errors.numpy(),
        "test_yaw_abs": shapes.yaw_abs.numpy(),
    }
    for name, values in (("expression_norm", shapes.expression_norm), ("nme", shapes.nme)):
        if values is not None:
            predictions[f"test_{name}"] = values.numpy()
    flagged = {f"condition_{name}": chosen for name, chosen in conditions.items()}
    return blocks, predictions | flagged | found


def evaluate_control(
    predictor: Predictor, source: Source, control: Control, geometry: Geometry
) -> tuple[dict[str, float], Predictions]:
    """Verification on the control set whose photos share their `control`: do shapes recognize by appearance?

    Source: ours (methods.md, "Metrics": faithfulness).
    """
    parameters, (identity, _, extra) = predictor(source)["identity"], _labels(source)
    values, found = measured_control(
        parameters, torch.from_numpy(identity), torch.from_numpy(extra["albedo"]), geometry.basis, control
    )
    return values, found | {
        f"control_{control}_parameters": parameters.numpy(),
        f"control_{control}_identity": identity,
        f"control_{control}_group": extra["albedo"],
    }


def evaluate_run(
    predictor: Predictor,
    bench: Workbench,
    face_model: FaceModel | None = None,
    covers: Callable[[Source], bool] = lambda source: True,
) -> tuple[dict[str, dict[str, float]], Predictions]:
    """Everything a run reports from the benchmark, whatever predicts.

    Args:
        predictor: What predicts, such as a `Network`.
        bench: Face model and benchmark.
        face_model: That of the predictions, where it is another one.
        covers: Whether the predictor can do a source; only the test set must be among them.

    Returns:
        Metrics by block ("validation", "benchmark", "conditions"), and the content of predictions.npz.
    """
    metrics, geometry = {}, Geometry(bench, face_model)
    if covers(embedded_source(bench.benchmark, "validation")):
        metrics["validation"] = evaluate_validation(predictor, bench, face_model)
    blocks, predictions = evaluate_test(predictor, bench, geometry)
    metrics |= blocks
    for control in CONTROLS:
        source = embedded_source(bench.benchmark, f"control_{control}")
        if covers(source):
            values, found = evaluate_control(predictor, source, control, geometry)
            metrics["benchmark"] |= values
            predictions |= found
    shared: dict[str, Any] = {"basis_gram": geometry.gram.numpy(), "identity_sigma": geometry.sigma.numpy()}
    return metrics, predictions | shared


def open_photos(bench: Workbench, path: str) -> Source:
    """Photographs of people as a source, cropped to the suite's framing.

    Args:
        bench: Face model and image size.
        path: Folder with faces.csv, whose columns identity and expression say who and "neutral" or other; gender and
            ethnicity, as known, say which impostors are matched.

    Raises:
        RecfaceError: The table does not name people, or nobody has both a neutral and another photo.
    """
    size = bench.config["scale"]["image_size"]
    source = manifest_source(path, canonical_landmarks(bench.face_model), size, name="photos")
    if source.identity is None or "expression" not in (source.extra or {}):
        raise RecfaceError(f"data.photos: {path}: the table needs the columns identity and expression")
    identity, _, extra = _labels(source)
    neutral = extra["expression"] == "neutral"
    if not np.intersect1d(identity[neutral], identity[~neutral]).size:
        raise RecfaceError(f"data.photos: {path}: nobody has both a photo marked 'neutral' and another")
    return source


def evaluate_photos(
    predictor: Predictor, bench: Workbench, source: Source, face_model: FaceModel | None = None
) -> tuple[dict[str, float], Predictions]:
    """Verify real people by the shapes of their photographs, from `open_photos`. Nothing is ever tuned on these.

    Returns:
        Metrics of the block "photos"; predictions under names that begin with photos_.
    """
    identity, _, extra = _labels(source)
    neutral = extra["expression"] == "neutral"
    parameters, geometry = predictor(source)["identity"], Geometry(bench, face_model)
    people, groups = torch.from_numpy(identity), matched_groups(extra, len(source))
    values, found = measured_photos(
        parameters, people, torch.from_numpy(neutral), geometry.basis, geometry.sigma, groups
    )
    # Stored even where unknown: what an earlier table said must not stay beside these photos.
    shown = {f"photos_{name}": extra.get(name, np.full(len(source), "")) for name in MATCHED_BY}
    return values, found | shown | {
        "photos_parameters": parameters.numpy(),
        "photos_identity": identity,
        "photos_expression": neutral,
    }
