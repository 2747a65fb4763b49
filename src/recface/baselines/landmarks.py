"""The mean face for every photo: what a method must beat in shape error, and what recognises nobody.

Landmarks as a detector would give them, for methods that are given landmarks and not the photo alone.

The pose of a face from its landmarks in closed form: where fitting begins, and how the mean face is placed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recface.baselines.method import Peer
from recface.data import Source
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.render import project


def noisy(marks: np.ndarray, noise: float, seed: int, name: str) -> np.ndarray:
    """Add Gaussian noise of one standard deviation for all points.

    0.03 half images, which configs/peer/*_noisy.yaml take, are 0.96 pixels of a crop of 64; the mean distance from the
    true point is 1.25 times that, 1.2 pixels or 4% of the distance of the outer eye corners. The choice is ours: a
    detector's errors also depend on each other and on the face, which this noise does not model.

    Args:
        marks: (N, 68, 2).
        noise: Standard deviation, in the unit of the landmarks; 0 changes nothing.
        seed: Of the noise.
        name: Of the source: each has noise of its own.

    Returns:
        (N, 68, 2).
    """
    generator = np.random.default_rng([seed, *name.encode()])
    return marks + noise * generator.normal(size=marks.shape)


def given_landmarks(source: Source, noise: float, seed: int, method: str) -> np.ndarray:
    """The landmarks (N, 68, 2) that a method is given; photographs, whose landmarks come from a detector, get no noise.

    Args:
        source: Photos with landmarks.
        noise: As `noisy`; for rendered photos, whose landmarks are exact.
        seed: Of the noise.
        method: Its name, for messages.

    Raises:
        RecfaceError: The source has none, or a photo lacks one (named by its row).
    """
    if source.landmarks is None:
        raise RecfaceError(f"{method}: source '{source.name}' has no landmarks, which this method fits")
    lacking = np.flatnonzero(~np.isfinite(source.landmarks).all(axis=(1, 2)))
    if lacking.size:
        raise RecfaceError(f"{method}: photo {lacking[0]} of source '{source.name}' lacks landmarks; remove it")
    marks = np.asarray(source.landmarks, np.float64)
    return marks if source.identity_parameters is None else noisy(marks, noise, seed, source.name)


def landmark_pose(points: Tensor, marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled orthographic camera that places 3D points on 2D landmarks.

    The least-squares affine camera, whose two rows are then made orthogonal and of one length: the algorithm that eos
    uses as well (Hartley and Zisserman, Multiple View Geometry, algorithm 7.2, and its nearest rotation).

    Args:
        points: (B, L, 3) or (L, 3) mm, not all in one plane.
        marks: (B, L, 2) normalised.

    Returns:
        rotation (B, 3, 3), scale (B,) half images per mm, translation (B, 2): as `recface.render.project` takes them.
    """
    points = points.expand(len(marks), -1, -1).double()
    target = marks.double()
    centre, middle = points.mean(1, keepdim=True), target.mean(1, keepdim=True)
    affine = torch.linalg.lstsq(points - centre, target - middle).solution.mT  # (B, 2, 3)
    left, values, right = torch.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    scale = values.mean(1)
    translation = middle[:, 0] - scale[:, None] * (rows @ centre.mT)[..., 0]
    return rotation.float(), scale.float(), translation.float()


def mean_face(face_model: FaceModel, source: Source) -> dict[str, Tensor]:
    """The mean face, placed on the landmarks, so that its NME is what shape and expression cost alone.

    Args:
        face_model: The 3DMM.
        source: N photos with landmarks.

    Returns:
        As `Peer`.
    """
    marks = torch.from_numpy(given_landmarks(source, 0.0, 0, "mean_face")).float()
    identity = torch.zeros(len(source), face_model.num_identity)
    expression = torch.zeros(len(source), face_model.num_expressions)
    points = face_model.landmarks(identity, expression)
    placed = project(points, *landmark_pose(points, marks))[..., :2]
    return {"identity": identity, "expression": expression, "landmarks": placed}


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: Mapping[str, Any], seed: int) -> Peer:
    """The mean face as a peer; it has no settings."""
    return lambda source: mean_face(face_model, source)
