"""The pose of a face from its landmarks in closed form: where fitting begins, and how the mean face is placed."""

from __future__ import annotations

import torch
from torch import Tensor


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
