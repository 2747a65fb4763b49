"""A picture of a network's reconstructions of a few photos, and a mesh."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

from recface.variants import Reconstruction

ROWS = ("photo", "rendering on the photo", "shape alone", "confidence", "error x 4")
GRAY = 0.75
# Coefficients of 1, y, z, x, ...: soft light from the front, a little from above and the left.
LIGHT = (0.62, 0.06, 0.16, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0)


@contextmanager
def _evaluating(variant: Reconstruction) -> Iterator[None]:
    """Without gradients, in the mode of evaluation; each module's own mode returns."""
    training = [module for module in variant.modules() if module.training]
    variant.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def neutral_shape(variant: Reconstruction, photo: Tensor) -> np.ndarray:
    """The neutral shape (V, 3) in mm that a network sees in a photo (3, S, S) in [0, 1]; nothing of it changes."""
    with _evaluating(variant):
        return variant.face_model.shape(variant(photo[None].to(variant.device)).identity)[0].float().cpu().numpy()


def reconstruction_picture(variant: Reconstruction, photos: Tensor) -> np.ndarray:
    """Draw a network's reconstructions, one column a photo; its mode and every random stream stay as they were.

    Args:
        variant: The network.
        photos: (N, 3, S, S) in [0, 1].

    Returns:
        (height, width, 3) uint8 with the rows of `ROWS`, but for the confidence where the network predicts none.
    """
    with _evaluating(variant):
        photos = photos.to(variant.device)
        coefficients = variant(photos)
        camera = (coefficients.rotation, coefficients.scale, coefficients.translation)
        vertices = variant.face_model.shape(coefficients.identity, coefficients.expression)
        textured = variant.renderer(
            vertices, *camera, variant.albedo_model(coefficients.albedo).contiguous(), coefficients.light
        )
        light = photos.new_tensor(LIGHT).view(1, 9, 1).expand(len(photos), 9, 3).contiguous()
        shape = variant.renderer(vertices, *camera, torch.full_like(vertices, GRAY), light, textured.face_index)
        error = (textured.image - photos).abs().mean(dim=1, keepdim=True)
        rows = [
            photos,
            torch.where(textured.mask, textured.image, photos),
            torch.where(shape.mask, shape.image, 1.0),
            torch.where(textured.mask, 4 * error, 0.0).expand(-1, 3, -1, -1),
        ]
        if variant.confidence is not None:
            # The predicted scale of a residual is unbounded: white where the network trusts a pixel fully.
            scale = variant.confidence(photos).pixel[:, :1]
            rows.insert(3, torch.exp(-scale).expand(-1, 3, -1, -1))
        grid = make_grid(torch.cat(rows).float().clamp(0, 1), nrow=len(photos), padding=1, pad_value=1.0)
        return (255 * grid).round().byte().permute(1, 2, 0).cpu().numpy()
