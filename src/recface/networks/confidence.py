"""Confidence net: the expected distance of each pixel, and each feature, of a photo from its rendering."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recface.errors import RecfaceError

SIZE_FACTOR = 16  # four halvings
FLOOR = 1e-3  # keeps the maps above zero where softplus underflows
NORMAL, MIRRORED = 0, 1  # channels of both maps


class ConfidenceMaps(NamedTuple):
    """Positive scales, in the unit of the residual they belong to.

    Channel 0 is for the albedo as it is, channel 1 for it mirrored.

    Attributes:
        pixel: (B,2,S,S), for the pixel term.
        feature: (B,2,S/4,S/4), for the perceptual term.
    """

    pixel: Tensor
    feature: Tensor

    def select(self, mirrored: Tensor) -> ConfidenceMaps:
        """Per photo the map of the albedo it was rendered with: mirrored (B,) bool -> maps of one channel."""
        rows = torch.arange(len(mirrored), device=mirrored.device)
        channel = torch.where(mirrored, MIRRORED, NORMAL)
        return ConfidenceMaps(self.pixel[rows, channel].unsqueeze(1), self.feature[rows, channel].unsqueeze(1))


class ConfidenceNet(nn.Module):
    """Encoder-decoder from photos to positive maps; every map starts at about 1.

    Source: Wu, Rupprecht, Vedaldi, *Unsupervised Learning of Probably Symmetric Deformable 3D Objects*, CVPR 2020
    (group norm, softplus, two channels for the image and its mirror image, two sizes for pixels and features); smaller
    than theirs, and resized rather than transposed.
    """

    def __init__(self, width: int = 16) -> None:
        """Set up the net; `width` is the channel count after the first halving, a multiple of 8."""
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.encoder = nn.Sequential(*(_down(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)))
        self.to_quarter = nn.Sequential(_up(widths[3], widths[2]), _up(widths[2], widths[1]))
        self.to_half = _up(widths[1], widths[0])
        self.feature_head = _head(widths[1])
        self.pixel_head = _head(widths[0])

    def forward(self, image: Tensor) -> ConfidenceMaps:
        """Maps of RGB images (B,3,S,S) in [0, 1], float32.

        Raises:
            RecfaceError: A side is not a multiple of 16.
        """
        if image.shape[-1] % SIZE_FACTOR or image.shape[-2] % SIZE_FACTOR:
            size = f"{image.shape[-2]} x {image.shape[-1]}"
            raise RecfaceError(f"confidence net: both sides of an image must be multiples of {SIZE_FACTOR}, not {size}")
        quarter = self.to_quarter(self.encoder(2 * image - 1))
        half = self.pixel_head(self.to_half(quarter))
        # The last doubling comes after the head: a full-size layer would cost more than all others, and confidence is
        # smooth.
        pixel = functional.interpolate(half.float(), scale_factor=2, mode="bilinear", align_corners=False)
        return ConfidenceMaps(_positive(pixel), _positive(self.feature_head(quarter).float()))


def _down(inputs: int, outputs: int) -> nn.Sequential:
    """Halve the size."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False), *_norm(outputs))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    """Double the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        *_norm(outputs),
        nn.Upsample(scale_factor=2, mode="nearest"),
    )


def _norm(channels: int) -> tuple[nn.GroupNorm, nn.ReLU]:
    return nn.GroupNorm(max(1, channels // 8), channels), nn.ReLU(inplace=True)


def _head(inputs: int) -> nn.Conv2d:
    """Two channels that start at the value whose softplus is 1."""
    head = nn.Conv2d(inputs, 2, 3, padding=1)
    nn.init.normal_(head.weight, std=1e-3)
    if head.bias is not None:
        nn.init.constant_(head.bias, math.log(math.e - 1))
    return head


def _positive(value: Tensor) -> Tensor:
    return functional.softplus(value) + FLOOR
