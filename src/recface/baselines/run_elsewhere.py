"""Methods run elsewhere: evaluation photos out, predictions in, matched by id; external/README.md has the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from recface.baselines.configuration import ImportedSettings
from recface.data import Source
from recface.data.benchmark import Benchmark
from recface.data.photos import LANDMARK_COLUMNS
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.npz import save
from recface.files.atomic import require_empty, write_bytes
from recface.files.meshes import obj_text
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.predictions import read_predictions
from recface.render.camera import from_pixels, to_pixels

EXPORTED = ("validation", "test", "control_shape", "control_albedo")
"""Splits of the embedded benchmark that are evaluated."""
TABLE, MODEL, MEAN = "photos.csv", "face_model.npz", "mean_face.obj"
LOST_MM = 1e-3
"""Root mean square distance that truncating the modes of the predicted shapes may cost."""


def export_benchmark(
    benchmark: Benchmark, face_model: FaceModel, folder: Path, watch: Callable[[int, int], None] | None = None
) -> Path:
    """Write the photos, landmarks and face model that another method needs, without identities and true shapes.

    Args:
        benchmark: The embedded benchmark.
        face_model: Its face model.
        folder: New or empty; gets `images/<id>.png`, `photos.csv` (id, file, split and 68 landmarks x1, y1, ..., x68,
            y68 in pixels), the face model in the suite's schema, and its mean as OBJ for the order of vertices.
        watch: Called with the number of photos written, and of all.

    Returns:
        Path of the table.

    Raises:
        RecfaceError: The folder is not empty: photos of another benchmark would mix with these.
    """
    require_empty(folder)
    (folder / "images").mkdir(parents=True)
    sources = [embedded_source(benchmark, split) for split in EXPORTED]
    count, parts = sum(map(len, sources)), []
    for source in sources:
        ids, size = source.ids, source.images.shape[-1]
        for name, image in zip(ids, source.images[:], strict=True):
            Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(folder / "images" / f"{name}.png")
        marks = to_pixels(torch.from_numpy(np.asarray(source.landmarks, np.float64)), size).flatten(1).numpy()
        named = pd.DataFrame({"id": ids, "file": [f"images/{name}.png" for name in ids], "split": source.name})
        parts.append(named.join(pd.DataFrame(marks, columns=LANDMARK_COLUMNS).round(3)))
        if watch is not None:
            watch(sum(map(len, parts)), count)
    save(face_model, folder / MODEL)
    write_bytes(folder / MEAN, obj_text(face_model.mean.numpy(), face_model.triangles.numpy()).encode())
    write_bytes(folder / TABLE, pd.concat(parts).to_csv(index=False, lineterminator="\n").encode())
    return folder / TABLE


@dataclass(frozen=True)
class Imported:
    """A predictor that looks predictions up.

    Where the method does not predict parameters of the suite's face model, `parameters` only span its shapes, and
    metrics on parameters mean nothing.
    """

    predictions: Predictions  # of one method for photos by id
    parameters: Tensor  # (N, K) of `face_model`, whitened
    face_model: FaceModel  # the suite's, or for vertices a model that spans them
    own_parameters: bool

    def covers(self, source: Source) -> bool:
        """Whether any photo of a source was predicted."""
        return not set(source.ids).isdisjoint(self.predictions.ids)

    def require_known_ids(self, benchmark: Benchmark, photographs: Source | None) -> None:
        """Raise RecfaceError with the first id that no photo of the benchmark or of the photographs has."""
        known = {name for split in EXPORTED for name in embedded_source(benchmark, split).ids}
        known |= set() if photographs is None else set(photographs.ids)
        if strange := [name for name in self.predictions.ids if name not in known]:
            hint = "" if photographs is not None else "; if these are photographs, give data.photos=DIR"
            raise RecfaceError(
                f"{self.predictions.where}: id {strange[0]} is not a photo of this benchmark ({len(strange)} of "
                f"{len(self.predictions)} are not): export its photos again with the same overrides{hint}"
            )

    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Look up a source's identity (N, K), and landmarks (N, 68, 2) normalized where predicted.

        Raises:
            RecfaceError: A photo lacks a prediction.
        """
        rows, ids = {name: row for row, name in enumerate(self.predictions.ids)}, source.ids
        if missing := [name for name in ids if name not in rows]:
            raise RecfaceError(
                f"{self.predictions.where}: no prediction for photo {missing[0]} ({len(missing)} of the {len(ids)} of "
                f"'{source.name}' are missing): a table's row covers all photos or none"
            )
        order = np.array([rows[name] for name in ids])
        found = {"identity": self.parameters[order]}
        if self.predictions.landmarks is not None:
            pixels = torch.from_numpy(np.asarray(self.predictions.landmarks[order], np.float32))
            found["landmarks"] = from_pixels(pixels, source.images.shape[-1])
        return found


def span(vertices: np.ndarray, face_model: FaceModel) -> tuple[FaceModel, np.ndarray]:
    """A linear model that spans shapes (N, V, 3) in mm, so that metrics treat them like any model's. Ours.

    Returns:
        The model, whose K modes hold the shapes to `LOST_MM`, and its parameters (N, K).
    """
    offsets = np.asarray(vertices, np.float64).reshape(len(vertices), -1) - face_model.mean.double().numpy().reshape(-1)
    axes, lengths, turned = np.linalg.svd(offsets, full_matrices=False)
    rest = np.append(np.cumsum(lengths[::-1] ** 2)[::-1], 0) / (len(vertices) * vertices.shape[1])
    count = max(1, int(np.argmax(rest <= LOST_MM**2)))
    sigma = np.maximum(lengths[:count], 1e-6) / len(vertices) ** 0.5
    model = face_model.changed(identity_basis=turned[:count].T, identity_sigma=sigma, latent_radius=None)
    return model, axes[:, :count] * len(vertices) ** 0.5


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: ImportedSettings, seed: int) -> Imported:
    """Read vertices (N, V, 3) in mm or whitened parameters (N, K), and landmarks (N, 68, 2) in pixels where given.

    Raises:
        RecfaceError: As `read_predictions`, or the number of vertices or parameters differs from the face model's.
    """
    found = read_predictions(settings.folder)
    where = f"{found.where}: row 0 (id {found.ids[0]})"
    if found.vertices is not None:
        if found.vertices.shape[1] != face_model.num_vertices:
            raise RecfaceError(
                f"{where}: {found.vertices.shape[1]:,} vertices, the face model {face_model.name} has "
                f"{face_model.num_vertices:,}; `recface baselines register` converts meshes of another topology"
            )
        model, coordinates = span(found.vertices, face_model)
        return Imported(found, torch.from_numpy(coordinates).float(), model, False)
    if found.parameters is None:
        raise RecfaceError(f"{found.where}: holds neither vertices nor parameters")
    if found.parameters.shape[1] != face_model.num_identity:
        raise RecfaceError(
            f"{where}: {found.parameters.shape[1]} parameters, the face model {face_model.name} has "
            f"{face_model.num_identity}; give vertices where the parameters are another model's"
        )
    return Imported(found, torch.from_numpy(np.array(found.parameters)).float(), face_model, True)


OF_PARAMETERS = ("param_", "prior_kl")
"""Prefixes of metrics on parameters."""


def without_parameter_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Leave out metrics on parameters, which mean nothing where parameters only span predicted vertices."""
    return {
        key: value for key, value in metrics.items() if not key.startswith(OF_PARAMETERS) and not key.endswith("_param")
    }
