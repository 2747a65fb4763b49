"""Hyperspherical parameters: latents on one sphere, told apart by their directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recface.losses.reduce import in_float32


@in_float32
def sphere_loss(latents: Tensor, radius: float | Tensor) -> Tensor:
    """Mean of (||x|| / R - 1)^2: latents are pulled to the sphere of radius R, and none is pulled to the origin.

    SFM's loss is not published in what we have; this form is ours (METHODS.md, "SFM", hypersphere loss). Every sample
    counts, with or without labels.

    Args:
        latents: (B, K).
        radius: R.

    Returns:
        The mean; zero for an empty batch.
    """
    norms = torch.sqrt(latents.square().sum(1) + 1e-12)  # a gradient at zero too
    return (norms / radius - 1).square().sum() / max(len(latents), 1)


def on_sphere(latents: Tensor, radius: float | Tensor) -> Tensor:
    """Latents (B, K) moved along their directions to the sphere of radius R."""
    return radius * functional.normalize(latents, dim=1)
