"""Colors of a mesh from the photo that it was reconstructed from."""

from __future__ import annotations

import functools

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from torch import Tensor

from recface.face_model import FaceModel
from recface.render import rasterize, vertex_normals

VISIBILITY_SIZE = 384  # pixels a side, to find what the camera sees
GRAZING, FACING = 0.25, 0.6  # cosines to the view between which the photo fades in
FADE = 15.0  # mm beyond the face region, where hair, collar and background begin


def seen_share(projected: Tensor, model: FaceModel) -> np.ndarray:
    """How well a photo shows each vertex, (V,) in 0..1: 0 where it is hidden, seen at a grazing angle, or off the face.

    Args:
        projected: Normalized vertices (V, 3) under the photo's camera; larger z is nearer.
        model: The face model.
    """
    triangles = model.triangles
    whole = projected / projected[:, :2].abs().max().clamp(min=1)  # what the framing cuts off is seen, too
    drawn = torch.zeros(len(triangles) + 1, dtype=torch.bool)
    drawn[rasterize(whole[None], triangles, VISIBILITY_SIZE).flatten()] = True  # -1, the background, is the last
    visible = torch.zeros(len(projected), dtype=torch.bool)
    visible[triangles[drawn[:-1]].flatten()] = True
    facing = vertex_normals(projected[None], triangles)[0, :, 2]
    shown = (visible * ((facing - GRAZING) / (FACING - GRAZING)).clamp(0, 1)).numpy()
    return np.asarray(shown * _near_face(model))


@functools.lru_cache(maxsize=1)
def _near_face(model: FaceModel) -> np.ndarray:
    """1 on the face region of the mean shape, falling to 0 over `FADE` mm (V,)."""
    points = model.mean.numpy()
    off, _ = cKDTree(points[model.face_mask.numpy()]).query(points)
    return np.clip(1 - off / FADE, 0, 1)


def photo_colors(
    photo: Image.Image, pixels: np.ndarray, seen: np.ndarray, albedo: np.ndarray, model: FaceModel
) -> np.ndarray:
    """Color each vertex as the photo shows it; what the photo hides as its mirror image, or as the estimated albedo.

    The albedo is first brought to the photo's brightness, color by color.

    Args:
        photo: Any photo.
        pixels: Columns and rows of the vertices in it (V, 2); the first pixel's center is (0.5, 0.5).
        seen: From `seen_share` (V,).
        albedo: Estimated, (V, 3) in 0..1.
        model: The face model.

    Returns:
        Colors (V, 3) in 0..1.
    """
    size = np.array(photo.size)
    low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, size - 1).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + 1, low + 1, size).astype(int)
    # The head's part alone: photos are large.
    image = np.asarray(photo.crop((*low.tolist(), *high.tolist())).convert("RGB"), np.float32) / 255
    columns, rows = (pixels - low - 0.5).T
    sampled = np.stack([map_coordinates(image[..., c], [rows, columns], order=1, mode="nearest") for c in range(3)], 1)
    inside = (pixels > 0).all(axis=1) & (pixels < size).all(axis=1)
    weight = (seen * inside)[:, None]
    known = weight[:, 0] > 0.5
    if known.any():
        albedo = albedo * (np.median(sampled[known], axis=0) / np.maximum(np.median(albedo[known], axis=0), 1e-3))
    mirror = model.mirror.numpy()
    rest = albedo + weight[mirror] * (sampled[mirror] - albedo)
    return np.clip(rest + weight * (sampled - rest), 0, 1)
