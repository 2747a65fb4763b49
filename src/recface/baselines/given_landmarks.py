"""Landmarks that baselines are given, the pose that they imply, and the mean face in that pose.

The mean face is the row that every method must beat in shape error; it recognizes nobody.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recface.baselines.configuration import MeanFaceSettings
from recface.data import Source
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.render import project
from recface.run.evaluation import Predictor


def noisy(marks: np.ndarray, noise: float, seed: int, name: str) -> np.ndarray:
    """Add Gaussian noise, whose standard deviation is in the landmarks' unit, to (N, 68, 2); each source has its own.

    configs/baselines/*_noisy.yaml take 0.03 half images, 0.96 pixels of a crop of 64; the mean distance from the true
    point is 1.25 times that, 1.2 pixels or 4% of the distance of the outer eye corners. The choice is ours: a
    detector's errors also depend on each other and on the face, which this noise leaves out.
    """
    generator = np.random.default_rng([seed, *name.encode()])
    return marks + noise * generator.normal(size=marks.shape)


def given_landmarks(source: Source, noise: float, seed: int, method: str) -> np.ndarray:
    """The landmarks (N, 68, 2) that a method is given: noise is added to rendered photos, whose landmarks are exact.

    Photographs keep theirs, which come from a detector.

    Raises:
        RecfaceError: The source has no landmarks, or a photo lacks one (named by its row).
    """
    if source.landmarks is None:
        raise RecfaceError(f"{method}: source '{source.name}' has no landmarks to fit")
    known = source.landmarks[:]
    lacking = np.flatnonzero(~np.isfinite(known).all(axis=(1, 2)))
    if lacking.size:
        raise RecfaceError(f"{method}: photo {lacking[0]} of source '{source.name}' lacks landmarks; remove it")
    marks = np.asarray(known, np.float64)
    return marks if source.identity_parameters is None else noisy(marks, noise, seed, source.name)


def landmark_pose(points: Tensor, marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled orthographic camera that places 3D points on 2D landmarks.

    The least-squares affine camera, whose two rows are then made orthogonal and of equal length, as in eos (Hartley and
    Zisserman, Multiple View Geometry, algorithm 7.2, and its nearest rotation).

    Args:
        points: (B, L, 3) or (L, 3) mm, not coplanar.
        marks: (B, L, 2) normalized.

    Returns:
        rotation (B, 3, 3), scale (B,) half images per mm, translation (B, 2): as `recface.render.project` takes them.
    """
    points = points.expand(len(marks), -1, -1).double()
    target = marks.double()
    center, middle = points.mean(1, keepdim=True), target.mean(1, keepdim=True)
    affine = torch.linalg.lstsq(points - center, target - middle).solution.mT  # (B, 2, 3)
    left, values, right = torch.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    scale = values.mean(1)
    translation = middle[:, 0] - scale[:, None] * (rows @ center.mT)[..., 0]
    return rotation.float(), scale.float(), translation.float()


def mean_face(face_model: FaceModel, source: Source) -> dict[str, Tensor]:
    """The mean face, placed on the landmarks, so that its NME is the cost of shape and expression alone."""
    marks = torch.from_numpy(given_landmarks(source, 0.0, 0, "mean_face")).float()
    identity = torch.zeros(len(source), face_model.num_identity)
    expression = torch.zeros(len(source), face_model.num_expressions)
    points = face_model.landmarks(identity, expression)
    placed = project(points, *landmark_pose(points, marks))[..., :2]
    return {"identity": identity, "expression": expression, "landmarks": placed}


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: MeanFaceSettings, seed: int) -> Predictor:
    """The mean face as a predictor."""
    return lambda source: mean_face(face_model, source)
