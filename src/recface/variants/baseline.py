"""The baseline 3DMM regression: SIR's ablation row "w/o SIR" (Jiang et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from recface.data import Batch
from recface.variants.reconstruction import Reconstructed, Reconstruction


class Baseline(Reconstruction):
    """Landmark, pixel, perceptual and Tikhonov terms; identity labels go unused."""

    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The reconstruction terms alone."""
        return self.reconstruction_terms(batch, face)
