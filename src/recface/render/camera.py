"""The scaled orthographic camera, and the only conversions between frames.

Model and camera frame: right-handed, +x image right, +y up, +z towards the camera, millimeters. Normalized image
coordinates: x right, y up, both in [-1, 1]; z in the same unit, larger is nearer. Pixels: origin at the top-left
*corner*, x right, y down, so that the center of pixel (row i, column j) is (j + 0.5, i + 0.5).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from recface.render.kernels import full_precision


@full_precision
def euler_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices R = Rz(roll) Ry(yaw) Rx(pitch), right-handed.

    Positive pitch turns the face down, positive yaw turns it to image right (the subject's left), positive roll
    turns the image anticlockwise.

    Args:
        angles: (B, 3) pitch, yaw, roll in radians.

    Returns:
        (B, 3, 3) matrices that act on column vectors.
    """
    (sx, sy, sz), (cx, cy, cz) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


@full_precision
def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Pitch, yaw and roll of a rotation: the inverse of `euler_to_matrix` for |yaw| < 90 degrees.

    At |yaw| = 90 degrees (gimbal lock) only pitch -+ roll is determined; the angles returned there are finite.

    Returns:
        (B, 3) radians: pitch and roll in (-pi, pi], yaw in [-pi/2, pi/2].
    """
    # The clamp only serves the gradient of the root, which is infinite in gimbal lock.
    cos_yaw = (matrix[..., 0, 0].square() + matrix[..., 1, 0].square()).clamp_min(1e-12).sqrt()
    pitch = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    yaw = torch.atan2(-matrix[..., 2, 0], cos_yaw)
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack([pitch, yaw, roll], dim=-1)


@full_precision
def rotation_6d_to_matrix(vector: Tensor) -> Tensor:
    """Rotations (B, 3, 3) from the continuous 6D form of Zhou et al., CVPR 2019, section 4 (Gram-Schmidt).

    The halves of a vector (B, 6), of any length but zero and not parallel, become the first two *columns*, as in the
    paper (PyTorch3D makes them rows). (1, 0, 0, 0, 1, 0) is the identity.
    """
    first, second = vector[..., :3], vector[..., 3:]
    x = normalize(first, dim=-1)
    y = normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y, dim=-1)], dim=-1)


@full_precision
def project(vertices: Tensor, rotation: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """Scaled orthographic projection: xy = scale (R v)_xy + translation, z = scale (R v)_z.

    Args:
        vertices: (B, V, 3) in mm.
        rotation: (B, 3, 3).
        scale: (B,) half images per mm.
        translation: (B, 2) in normalized image coordinates.

    Returns:
        (B, V, 3) normalized x, y and depth (larger is nearer), in one unit: angles and normals are kept.
    """
    # Scaling nine numbers rather than 3 V of them.
    scaled = scale[:, None, None] * rotation
    return vertices @ scaled.transpose(-1, -2) + pad(translation, (0, 1))[:, None]


@full_precision
def to_pixels(normalized: Tensor, size: int) -> Tensor:
    """Normalized image coordinates (..., 2 or more) to pixels of a square image with sides of `size` pixels.

    x points right and y down from the top-left corner of the image; coordinates after the second pass unchanged.
    """
    return _stretch(normalized, (size / 2, -size / 2), (size / 2, size / 2))


@full_precision
def from_pixels(pixels: Tensor, size: int) -> Tensor:
    """Pixels to normalized image coordinates: the inverse of `to_pixels`, with the same arguments."""
    return _stretch(pixels, (2 / size, -2 / size), (-1.0, 1.0))


def _stretch(points: Tensor, factor: tuple[float, float], offset: tuple[float, float]) -> Tensor:
    rest = points.shape[-1] - 2
    shift, stretch = points.new_tensor([*offset, *[0.0] * rest]), points.new_tensor([*factor, *[1.0] * rest])
    return torch.addcmul(shift, points, stretch)
