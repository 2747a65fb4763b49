"""Verification of real photographs: a person's neutral photo against smiling ones, theirs and other people's."""

from __future__ import annotations

import numpy as np
import torch

from recface.data import Source
from recface.data.framing import canonical_landmarks
from recface.data.sources import manifest_source
from recface.errors import RecfaceError
from recface.experiment.evaluate import Geometry, Predictions, finite
from recface.experiment.predictors import Predictor
from recface.experiment.setup import Workbench
from recface.face_model import FaceModel
from recface.metrics.functional import cross_verification


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
