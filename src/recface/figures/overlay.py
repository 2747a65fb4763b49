"""A reconstructed shape over its photo, in the photo's own pixels, and from three sides."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recface.face_model import FaceModel
from recface.render import Renderer, euler_to_matrix, interpolate, irradiance, rasterize, vertex_normals

FINEST = 768  # pixels across the drawn head: more than its vertices tell
OPACITY = 0.8
GRAY = 0.8
LIGHT = (0.45, 0.22, 0.25, 0.14, 0.0, 0.0, 0.0, 0.0, 0.0)  # from the front, above and the side
YAWS = (-0.9, 0.0, 0.9)  # radians: to image left, frontal, to image right
HALF_MM, LOWEST_MM = 125.0, -100.0
"""Half of a view's width, and what lies at its lower edge: the neck is cut off."""


def overlay(photo: Image.Image, placed: np.ndarray, model: FaceModel) -> Image.Image:
    """Draw the face region of a shape over a photo, gray and lit.

    Args:
        photo: RGB.
        placed: (V, 3) vertices in pixels of the photo: x right, y down, z in the same unit, larger is nearer.
        model: Of the shape.
    """
    triangles = model.triangles[model.face_mask[model.triangles].all(dim=1)]
    low, high = (bound(placed[model.face_mask, :2], axis=0) for bound in (np.min, np.max))
    corner, side = np.floor(low).astype(int), max(1, math.ceil((high - low).max()) + 1)
    normalized = (placed - [*corner, 0]) * (2 / side) - [1, 1, 0]
    vertices = torch.from_numpy(normalized * [1, -1, 1]).float()[None]
    colors = GRAY * irradiance(vertex_normals(vertices, model.triangles), _light(1))
    size = min(side, FINEST)
    drawn, mask = interpolate(vertices, triangles, rasterize(vertices, triangles, size), colors)
    pixels = _picture(torch.cat([drawn[0], OPACITY * mask[0]]))
    if size < side:
        pixels = pixels.resize((side, side), Image.Resampling.BILINEAR)
    result = photo.copy()
    result.paste(pixels.convert("RGB"), (int(corner[0]), int(corner[1])), pixels.getchannel("A"))
    return result


def three_views(vertices: Tensor, triangles: Tensor, size: int, colors: Tensor | None = None) -> Image.Image:
    """A shape (V, 3) in mm from three sides beside each other, on white: 3 `size` wide and `size` high.

    Gray and lit; where colors (V, 3) in 0..1 are given, a second row below shows them unlit.
    """
    rotation = euler_to_matrix(torch.tensor([[0.0, yaw, 0.0] for yaw in YAWS]))
    turned = vertices @ rotation.transpose(-1, -2)
    middle = -(turned[..., 0].amax(1) + turned[..., 0].amin(1)) / 2
    place = torch.stack([middle, torch.full((3,), -LOWEST_MM - HALF_MM)], dim=1) / HALF_MM
    several, scale = vertices.expand(3, -1, -1).contiguous(), torch.full((3,), 1 / HALF_MM)
    gray = torch.full_like(several, GRAY)
    drawn = Renderer(triangles, size)(several, rotation, scale, place, gray, _light(3))
    rows = [drawn.image]
    if colors is not None:
        shown = interpolate(drawn.projected, triangles, drawn.face_index, colors.expand_as(several).contiguous())
        rows.append(shown[0])
    strips = [torch.where(drawn.mask, row, 1.0).permute(1, 2, 0, 3).flatten(2) for row in rows]
    return _picture(torch.cat(strips, dim=1))


def _light(count: int) -> Tensor:
    return torch.tensor(LIGHT).view(1, 9, 1).expand(count, 9, 3).contiguous()


def _picture(channels: Tensor) -> Image.Image:
    """A picture of channels (C, H, W) in 0..1."""
    pixels = (255 * channels.clamp(0, 1)).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())
