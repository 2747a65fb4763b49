"""From rendered head to photo: background, occluders, blur and sensor noise. Ours."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

OCCLUDED_SHARE = 0.15


def _uniform(generator: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform draws in single precision, which is plenty for photos of 8 bits."""
    return generator.uniform(low, high, shape).astype(np.float32)


def _noise_image(count: int, cells: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Smooth colour noise (count, 3, size, size) with unit-order deviation."""
    coarse = torch.from_numpy(generator.standard_normal((count, 3, cells, cells), np.float32))
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True).numpy()


def draw_backgrounds(count: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (count, 3, size, size) backgrounds: a muted colour with coarse and fine structure."""
    base = _uniform(generator, 0.1, 0.9, (count, 1, 1, 1)) + np.float32(0.12) * generator.standard_normal(
        (count, 3, 1, 1), np.float32
    )
    coarse = _noise_image(count, 3, size, generator) * _uniform(generator, 0, 0.25, (count, 1, 1, 1))
    fine = _noise_image(count, 12, size, generator) * _uniform(generator, 0, 0.12, (count, 1, 1, 1))
    photo = base + coarse + fine
    grey = photo.mean(1, keepdims=True)
    return np.clip(grey + 0.5 * (photo - grey), 0, 1)


def enclosed_holes(mask: Tensor) -> Tensor:
    """Background pixels with head on all four sides: openings of eyes and mouth in a model that has none inside.

    Args:
        mask: (N, 1, H, W) whether a pixel shows the head.

    Returns:
        (N, 1, H, W) bool.
    """
    covered = mask.int()
    sides = [
        covered.flip(dim).cummax(dim).values.flip(dim) if backwards else covered.cummax(dim).values
        for dim in (-1, -2)
        for backwards in (False, True)
    ]
    return (torch.stack(sides).amin(0) > 0) & ~mask


def draw_occluders(count: int, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw ellipses of one colour that hide part of some faces.

    Returns:
        colour (count, 3, 1, 1); alpha (count, 1, size, size), zero where nothing is hidden; occluded (count,) bool.
    """
    occluded = generator.random(count) < OCCLUDED_SHARE
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(grid, -grid)
    turn = _uniform(generator, 0, np.pi, (count, 1, 1))
    centre = _uniform(generator, -0.6, 0.6, (count, 2, 1, 1))
    radius = _uniform(generator, 0.12, 0.45, (count, 2, 1, 1))
    u = ((x - centre[:, 0]) * np.cos(turn) + (y - centre[:, 1]) * np.sin(turn)) / radius[:, 0]
    v = ((y - centre[:, 1]) * np.cos(turn) - (x - centre[:, 0]) * np.sin(turn)) / radius[:, 1]
    alpha = ((u**2 + v**2 < 1) & occluded[:, None, None]).astype(np.float32)
    return _uniform(generator, 0, 0.8, (count, 3, 1, 1)), alpha[:, None], occluded


def compose_photos(head: Tensor, mask: Tensor, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put rendered heads before backgrounds and photograph them.

    Args:
        head: (N, 3, m S, m S) rendered heads, zero outside the mask, at m times the photo's size.
        mask: (N, 1, m S, m S) whether a pixel shows the head.
        generator: Source of all randomness.

    Returns:
        (N, 3, S, S) uint8 photos with S = the heads' size / 2, and occluded (N,) bool.
    """
    count, size = len(head), head.shape[-1] // 2
    holes = enclosed_holes(mask)
    inside = torch.from_numpy(_uniform(generator, 0.08, 0.4, (count, 1, 1, 1))).to(head)
    head, mask = head + holes * inside, mask | holes
    coverage = F.avg_pool2d(mask.float(), 2).numpy()
    colour = F.avg_pool2d(head, 2).numpy()  # already weighted by coverage: zero outside
    photo = np.clip(colour, 0, 1) + (1 - coverage) * draw_backgrounds(count, size, generator)
    occluder, alpha, occluded = draw_occluders(count, size, generator)
    photo = photo + alpha * (occluder - photo)
    photo = photo * _uniform(generator, 0.85, 1.15, (count, 1, 1, 1)) + np.float32(0.03) * generator.standard_normal(
        (count, 1, 1, 1), np.float32
    )
    blurred = F.avg_pool2d(F.pad(torch.from_numpy(photo), (1, 1, 1, 1), mode="replicate"), 3, stride=1).numpy()
    photo = photo + _uniform(generator, 0, 0.8, (count, 1, 1, 1)) * (blurred - photo)
    photo = photo + _uniform(generator, 0.003, 0.03, (count, 1, 1, 1)) * generator.standard_normal(
        photo.shape, np.float32
    )
    return (np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8), occluded
