"""eos, a published library that fits a 3DMM to landmarks, on the suite's own face model and landmarks.

Huber et al., "A Multiresolution 3D Morphable Face Model and Fitting Framework", VISAPP 2016; the package eos-py. It
alternates a scaled orthographic pose, the regularized linear shape fit of Aldrian and Smith (PAMI 2013), and
expressions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.baselines.configuration import EosSettings
from recface.baselines.given_landmarks import given_landmarks
from recface.data import Source
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.eos_format import to_eos
from recface.render.camera import from_pixels, to_pixels
from recface.run.evaluation import Predictor


def fit_landmarks(model: Any, marks: np.ndarray, size: int, settings: EosSettings) -> tuple[np.ndarray, ...]:
    """Fit `to_eos`, of the landmarks alone, to the landmarks (68, 2) in pixels of a photo of `size` by `size` pixels.

    Returns:
        identity (K,), expression (E,) and the fitted landmarks (68, 2) in pixels.
    """
    import eos

    named = [eos.core.Landmark(str(i), point) for i, point in enumerate(marks.astype(np.float32))]
    mesh, rendering, identity, expression = eos.fitting.fit_shape_and_pose(
        model,
        named,
        eos.core.LandmarkMapper(),
        size,
        size,
        num_iterations=settings.iterations,
        lambda_identity=settings.identity_weight,
        lambda_expressions=settings.expression_weight,
    )
    camera = eos.fitting.get_3x4_affine_camera_matrix(rendering, size, size)
    vertices = np.asarray(mesh.vertices, np.float64).reshape(68, -1)[:, :3]
    placed = vertices @ camera[:2, :3].T + camera[:2, 3]
    return np.asarray(identity, np.float32), np.asarray(expression, np.float32), placed


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: EosSettings, seed: int) -> Predictor:
    """Eos as a predictor; the seed is that of the landmarks' noise, and eos sees no albedo."""
    model = to_eos(face_model, landmarks_only=True, linear_expressions=settings.expression == "linear")

    def predict(source: Source) -> dict[str, Tensor]:
        size = source.images.shape[-1]
        marks = given_landmarks(source, settings.noise, seed, "eos")
        pixels = to_pixels(torch.from_numpy(marks), size).numpy()
        fitted = [fit_landmarks(model, row, size, settings) for row in pixels]
        identity, expression, placed = (torch.from_numpy(np.stack(part)).float() for part in zip(*fitted, strict=True))
        return {"identity": identity, "expression": expression, "landmarks": from_pixels(placed, size)}

    return predict
