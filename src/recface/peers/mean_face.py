"""The mean face for every photo: what a method must beat in shape error, and what recognises nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recface.data import Source
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.peers.base import Peer
from recface.peers.detector import given_landmarks
from recface.peers.pose import landmark_pose
from recface.render import project


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
