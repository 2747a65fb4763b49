"""Rendered against photographed faces: pixel by pixel, and as a frozen network sees them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from recface.losses.total_loss import masked_mean
from recface.render import full_precision

SMALLEST_SCALE = 1e-2  # 2.5 gray levels of 255: below the noise of a photo no confidence is justified
SMALLEST_NORM = 1e-6


@full_precision
def pixel_loss(
    rendered: Tensor, image: Tensor, mask: Tensor, sigma: Tensor | None = None, smallest: float = SMALLEST_SCALE
) -> Tensor:
    """Pixel term: negative log-likelihood of a photo under Laplacian noise around its rendering.

    sqrt(2) |I - I'| / (s + eps) + log(s + eps), SIR [A][C] after Wu et al., CVPR 2020, eq. 2 (which has the constant
    log sqrt 2 as well). Averaged over colors and face pixels, then over the samples that show any.

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


def perceptual_loss(
    features: Callable[[Tensor], Tensor], rendered: Tensor, image: Tensor, mask: Tensor, sigma: Tensor | None = None
) -> Tensor:
    """Perceptual term: feature distance between a photo and the same photo with the rendered face pasted in.

    SIR [C] compares VGG16 relu3_3. Here the network is the caller's: frozen stage-1 features need no download and no
    licence. Pasting keeps hair and background equal on both sides, so no distance comes from what a face model cannot
    draw.

    Args:
        features: Frozen network, images (B,3,H,W) in [0, 1] to features (B,C,h,w). Its parameters must not require a
            gradient.
        rendered: Rendered faces (B,3,H,W) in [0, 1].
        image: Photos (B,3,H,W) in [0, 1].
        mask: Visible face pixels (B,1,H,W), bool.
        sigma: Predicted scale at reduced size (B,1,h',w'), positive; None gives the plain distance.

    Returns:
        `feature_loss` of the two.
    """
    mask = mask.bool()
    composite = features(torch.where(mask, rendered.to(image.dtype), image))
    with torch.no_grad():
        target = features(image)
    return feature_loss(composite, target, mask, sigma)


@full_precision
def feature_loss(composite: Tensor, target: Tensor, mask: Tensor, sigma: Tensor | None = None) -> Tensor:
    """Squared distance d^2 of channel vectors scaled to unit length, which is 2 - 2 cos, averaged over the face.

    With a scale map it is the negative log-likelihood under normal noise, d^2 / (2 (s + eps)^2) + log(s + eps), Wu et
    al., CVPR 2020, section 3.4.

    Args:
        composite: Features of the composite (B,C,h,w).
        target: Features of the photo (B,C,h,w).
        mask: Visible face pixels (B,1,H,W), at any size: a feature counts if the face reaches its cell.
        sigma: Scale map (B,1,h',w') at any size, positive, or None.

    Returns:
        Mean over a sample's features on the face, then over the samples that show a face; zero if none does.
    """
    size = (composite.shape[-2], composite.shape[-1])
    distance = (_unit(composite) - _unit(target)).square().sum(dim=1, keepdim=True)
    if sigma is not None:
        scale = functional.adaptive_avg_pool2d(sigma, size) + SMALLEST_SCALE
        distance = distance / (2 * scale.square()) + torch.log(scale)
    covered = functional.adaptive_max_pool2d(mask.to(distance.dtype), size) > 0
    return masked_mean(masked_mean(distance, covered, dim=(1, 2, 3)), covered.flatten(1).any(dim=1))


def _unit(features: Tensor) -> Tensor:
    """Scale channel vectors to unit length; a vector of zeros (all ReLUs off) stays zero, with a finite gradient."""
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + SMALLEST_NORM**2)
