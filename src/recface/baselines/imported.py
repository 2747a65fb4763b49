"""A method that does not run here, by what it left in external/NAME/predictions; see external/README.md.

Metrics of a method that did not run here, from its predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.baselines.export import EXPORTED
from recface.data import Source
from recface.data.sources import embedded_source
from recface.data.workbench import Workbench
from recface.errors import RecfaceError
from recface.face_model import FaceModel, save
from recface.face_model.albedo import AlbedoModel
from recface.face_model.npz import LEARNED_FILE
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.predictions import read_predictions
from recface.render.camera import from_pixels
from recface.run.evaluation import evaluate_photos, evaluate_run, open_photos
from recface.tracking import RunFolder

FOLDER, CARD = "predictions", "card.yaml"
LOST_MM = 1e-3
"""Root mean square distance that leaving out modes of the predicted shapes may cost."""


@dataclass(frozen=True)
class Imported:
    """Predictions as a peer.

    Attributes:
        predictions: Of one method, for photos by id.
        parameters: (N, K) shape parameters of `face_model`, whitened.
        face_model: The suite's, or for vertices one that spans them.
        own_parameters: Whether the method predicts parameters of the suite's face model; else parameters only span its
            shapes, and metrics on parameters say nothing.
    """

    predictions: Predictions
    parameters: Tensor
    face_model: FaceModel
    own_parameters: bool

    def covers(self, source: Source) -> bool:
        """Whether any photo of a source was predicted."""
        return not set(source.ids).isdisjoint(self.predictions.ids)

    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Look up the photos of a source.

        Returns:
            identity (N, K) and, where they were predicted, landmarks (N, 68, 2) normalised.

        Raises:
            RecfaceError: A photo lacks a prediction.
        """
        rows = {name: row for row, name in enumerate(self.predictions.ids)}
        ids = source.ids
        if missing := [name for name in ids if name not in rows]:
            raise RecfaceError(
                f"{self.predictions.where}: no prediction for photo {missing[0]} ({len(missing)} of the {len(ids)} of "
                f"'{source.name}' are missing): a row of a table is of all photos, or of none"
            )
        order = np.array([rows[name] for name in ids])
        found = {"identity": self.parameters[order]}
        if self.predictions.landmarks is not None:
            pixels = torch.from_numpy(np.asarray(self.predictions.landmarks[order], np.float32))
            found["landmarks"] = from_pixels(pixels, source.images.shape[-1])
        return found


def span(vertices: np.ndarray, face_model: FaceModel) -> tuple[FaceModel, np.ndarray]:
    """A linear model that holds given shapes, so that metrics take them as they take any model's.

    Args:
        vertices: (N, V, 3) mm, in the topology of `face_model`.
        face_model: Its mean is the new model's, too.

    Returns:
        The model, whose K modes hold the shapes to `LOST_MM`, and its parameters (N, K). Ours.
    """
    offsets = np.asarray(vertices, np.float64).reshape(len(vertices), -1) - face_model.mean.double().numpy().reshape(-1)
    axes, lengths, turned = np.linalg.svd(offsets, full_matrices=False)
    rest = np.append(np.cumsum(lengths[::-1] ** 2)[::-1], 0) / (len(vertices) * vertices.shape[1])
    count = max(1, int(np.argmax(rest <= LOST_MM**2)))
    sigma = np.maximum(lengths[:count], 1e-6) / len(vertices) ** 0.5
    arrays = face_model.arrays() | {"identity_basis": turned[:count].T, "identity_sigma": sigma}
    model = FaceModel(
        **arrays,
        expression_names=face_model.expression_names,
        name=face_model.name,
        source=face_model.source,
        licence=face_model.licence,
    )
    return model, axes[:, :count] * len(vertices) ** 0.5


def predictions_folder(method: Path, face_model: str) -> Path:
    """Where a method's predictions for a face model's benchmark lie: in its own folder, or in the common one."""
    own = method / f"{FOLDER}_{face_model}"
    return own if own.is_dir() else method / FOLDER


def content_digest(folder: Path) -> str:
    """Hash over predictions, file by file, which stands in for their place in the record's hash."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: Mapping[str, Any], seed: int) -> Imported:
    """Read the predictions.

    Args:
        face_model: The suite's.
        albedo_model: Not used.
        settings: `folder`, in a form of `read_predictions`: vertices (N, V, 3) mm in the face model's topology, or its
            whitened parameters (N, K), and landmarks (N, 68, 2) in pixels if there are any.
        seed: Not used.

    Raises:
        RecfaceError: As `read_predictions`; or another number of vertices or parameters than the face model's.
    """
    found = read_predictions(settings["folder"])
    where = f"{found.where}: row 0 (id {found.ids[0]})"
    if found.vertices is not None:
        if found.vertices.shape[1] != face_model.num_vertices:
            raise RecfaceError(
                f"{where}: {found.vertices.shape[1]:,} vertices, the face model {face_model.name} has "
                f"{face_model.num_vertices:,}; src/external.py register makes shapes of this one of them"
            )
        model, parameters = span(found.vertices, face_model)
        return Imported(found, torch.from_numpy(parameters).float(), model, False)
    if found.parameters is None:
        raise RecfaceError(f"{found.where}: holds neither vertices nor parameters")
    if found.parameters.shape[1] != face_model.num_identity:
        raise RecfaceError(
            f"{where}: {found.parameters.shape[1]} parameters, the face model {face_model.name} has "
            f"{face_model.num_identity}; parameters of another model cannot be decoded: give vertices"
        )
    parameters = torch.from_numpy(np.array(found.parameters)).float()
    return Imported(found, parameters, face_model, True)


OF_PARAMETERS = ("param_", "prior_kl")
"""Beginnings of the metrics on parameters, which those that only span a method's vertices are not."""


def evaluate_imported(
    peer: Imported, bench: Workbench, photos: str | None, folder: RunFolder
) -> tuple[dict[str, dict[str, float]], Predictions]:
    """Evaluate whole sets of photos, those that were predicted; what time it took is not known.

    Args:
        peer: The predictions.
        bench: Face model and benchmark.
        photos: Folder of photographs, or None.
        folder: Gets the face model that spans the predicted vertices, where it is not the benchmark's.

    Returns:
        As `evaluate_run`, with the block "photos" where those were predicted.

    Raises:
        RecfaceError: An id that no photo has, or a set that is predicted in part only.
    """
    model = bench.face_model if peer.own_parameters else peer.face_model
    known = {name for split in EXPORTED for name in embedded_source(bench.benchmark, split).ids}
    photographs = open_photos(bench, photos) if photos else None
    known |= set(photographs.ids) if photographs else set()
    if strange := [name for name in peer.predictions.ids if name not in known]:
        hint = "" if photos else "; if these are photographs, give data.photos=DIR"
        raise RecfaceError(
            f"{peer.predictions.where}: id {strange[0]} is no photo of this benchmark ({len(strange)} of "
            f"{len(peer.predictions)} are not): export its photos again with the same overrides{hint}"
        )
    metrics, predictions = evaluate_run(peer, bench, model, peer.covers)
    if photographs and peer.covers(photographs):
        metrics["photos"], found = evaluate_photos(peer, bench, photographs, model)
        predictions |= found
    if not peer.own_parameters:
        save(model, folder.path / LEARNED_FILE)
        for values in metrics.values():
            for key in [key for key in values if key.startswith(OF_PARAMETERS) or key.endswith("_param")]:
                del values[key]
    return metrics, predictions
