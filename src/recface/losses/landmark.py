"""Landmark term: projected model landmarks against annotated ones."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.losses.total_loss import masked_mean
from recface.render import full_precision

PERCENT = 100.0  # of half an image


@full_precision
def landmark_loss(predicted: Tensor, labeled: Tensor, mode: Literal["l1", "l2", "squared"] = "l1") -> Tensor:
    """Distance of projected landmarks from labeled ones, in percent of half an image.

    100 d averaged over a sample's labeled points, then over the samples that have any. d is |dx| + |dy| ("l1", our
    default: large poses and wrong labels do not dominate), sqrt(dx^2 + dy^2) ("l2") or dx^2 + dy^2 ("squared", SIR
    [C]), in normalized image coordinates.

    Args:
        predicted: Projected landmarks (B,68,2 or more), normalized; only x and y are used.
        labeled: Labels (B,68,2), normalized; NaN = unknown.
        mode: The distance.

    Returns:
        The mean; zero if no point is labeled.

    Raises:
        RecfaceError: An unknown mode.
    """
    known = labeled.isfinite().all(dim=-1)
    difference = torch.where(known[..., None], predicted[..., :2] - labeled.nan_to_num(), 0.0)
    if mode == "l1":
        distance = difference.abs().sum(dim=-1)
    elif mode == "l2":
        distance = torch.linalg.vector_norm(difference, dim=-1)
    elif mode == "squared":
        distance = difference.square().sum(dim=-1)
    else:
        raise RecfaceError(f"loss.landmark_mode must be l1, l2 or squared, not '{mode}'")
    return PERCENT * masked_mean(masked_mean(distance, known, dim=1), known.any(dim=1))
