"""Latents by their directions alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def on_sphere(latents: Tensor, radius: float | Tensor) -> Tensor:
    """Latents (B, K) moved along their directions to the sphere of radius R. SFM [A]."""
    return radius * functional.normalize(latents, dim=1)
