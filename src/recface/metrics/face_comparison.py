"""Whether two shapes are one face, by their geometry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recface.face_model import FaceModel


@dataclass(frozen=True)
class Comparison:
    """How far two neutral shapes of one face model are apart.

    Attributes:
        distance_mm: Mean distance of their vertices in the face region, the distance of all geometry verification.
        error_map: (V,) distance in mm at each vertex of the head.
        same: Whether the distance is at most the threshold.
    """

    distance_mm: float
    error_map: Tensor
    same: bool


def compare_faces(first: Tensor, second: Tensor, face_model: FaceModel, threshold_mm: float) -> Comparison:
    """Compare the neutral shapes of two photos.

    Source: methods.md, "Metrics": geometry verification.

    Args:
        first: (K,) whitened shape parameters.
        second: (K,) those of the other photo.
        face_model: Decodes both.
        threshold_mm: Largest distance of one person's shapes; `recface.run.shipped.About` says how it is calibrated.
    """
    one, other = face_model.shape(torch.stack([first, second]))
    error_map = (one - other).norm(dim=1)
    distance = float(error_map[face_model.face_mask].mean())
    return Comparison(distance, error_map, distance <= threshold_mm)
