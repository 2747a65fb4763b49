"""Pixel term: rendered against photographed colours on the visible face."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recface.losses.weights import in_float32, masked_mean

SMALLEST_SCALE = 1e-2  # 2.5 grey levels of 255: below the noise of a photo no confidence is justified


@in_float32
def pixel_loss(
    rendered: Tensor, image: Tensor, mask: Tensor, sigma: Tensor | None = None, smallest: float = SMALLEST_SCALE
) -> Tensor:
    """Negative log-likelihood of a photo under Laplacian noise around its rendering.

    sqrt(2) |I - I'| / (s + eps) + log(s + eps), SIR [A][C] after Wu et al., CVPR 2020, eq. 2 (which has the constant
    log sqrt 2 as well). Averaged over colours and face pixels, then over the samples that show any.

    For albedo mirrored in some samples, render those with it and pass the matching scale maps
    (`ConfidenceMaps.select`).

    Args:
        rendered: I' (B,3,H,W) in [0, 1].
        image: I (B,3,H,W) in [0, 1].
        mask: Visible face pixels (B,1,H,W), bool. No gradient passes through it.
        sigma: Predicted scale s (B,1,H,W), positive; None gives the plain mean of |I - I'|.
        smallest: eps; bounds the reward for confidence.

    Returns:
        The mean; zero if no sample shows a face pixel. Negative where the confidence is high and justified.
    """
    mask = mask.bool()
    residual = torch.where(mask, rendered - image, 0.0).abs().mean(dim=1, keepdim=True)
    if sigma is not None:
        scale = sigma + smallest
        residual = math.sqrt(2) * residual / scale + torch.log(scale)
    return masked_mean(masked_mean(residual, mask, dim=(1, 2, 3)), mask.flatten(1).any(dim=1))
