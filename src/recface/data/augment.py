"""Augmentation of a batch on its device, by kornia."""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from recface.render import from_pixels, to_pixels

PIXEL_CENTER = 0.5  # ours are at +0.5, kornia's at integers


class Augmentation(nn.Module):
    """Small moves of the crop with its landmarks, brightness, contrast, gray, noise, and an erased patch.

    `strength` multiplies every range; 0 leaves photos as they are.
    """

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        s = strength
        self.strength = strength
        self.move = K.AugmentationSequential(
            K.RandomAffine(5.0 * s, (0.04 * s, 0.04 * s), (1 - 0.06 * s, 1 + 0.06 * s), padding_mode="border", p=0.8),
            data_keys=["input", "keypoints"],
        )
        self.look = nn.Sequential(
            K.RandomBrightness((1 - 0.2 * s, 1 + 0.2 * s), p=0.6),
            K.RandomContrast((1 - 0.2 * s, 1 + 0.2 * s), p=0.6),
            K.RandomGrayscale(p=min(0.1 * s, 1.0)),
            K.RandomGaussianNoise(std=0.02 * s, p=0.3),
            K.RandomErasing((0.02, 0.12), p=min(0.15 * s, 1.0)),
        )

    def forward(self, image: Tensor, landmarks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Augment images (B, 3, S, S) in [0, 1] and landmarks (B, 68, 2), NaN where unknown, alike.

        The seed determines all draws, whatever else used the global generator.
        """
        if self.strength == 0:
            return image, landmarks
        with torch.random.fork_rng(devices=[image.device] if image.is_cuda else []), torch.no_grad():
            torch.manual_seed(seed)
            size = image.shape[-1]
            image, points = self.move(image, to_pixels(landmarks, size) - PIXEL_CENTER)
            return self.look(image).clamp(0, 1), from_pixels(points + PIXEL_CENTER, size)
