"""A training batch after its reconstruction: what loss terms look at."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recface.networks import Coefficients, ConfidenceMaps


@dataclass
class Reconstructed:
    """One training batch, reconstructed; what the loss terms look at.

    Attributes:
        coefficients: The networks' output.
        landmarks: (B, 68, 2) projected landmarks, normalised.
        rows: (R,) samples that were rendered, or None while only landmarks are trained.
        image: (R, 3, S, S) rendered photos.
        mask: (R, 1, S, S) bool, where the head is seen.
        confidence: Scales of the pixel and feature residuals, or None.
    """

    coefficients: Coefficients
    landmarks: Tensor
    rows: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    confidence: ConfidenceMaps | None = None

    def select(self, chosen: Tensor) -> Reconstructed:
        """The part of some samples: chosen (B,) bool."""
        part = Reconstructed(self.coefficients.index(chosen), self.landmarks[chosen])
        if self.rows is None or not chosen[self.rows].any():
            return part
        kept = chosen[self.rows]
        part.rows = (chosen.cumsum(0) - 1)[self.rows[kept]]  # numbered among the chosen
        part.image, part.mask = self.image[kept], self.mask[kept]
        part.confidence = self.confidence and ConfidenceMaps(*(maps[kept] for maps in self.confidence))
        return part
