"""The baseline 3DMM regression: SIR's ablation row "w/o SIR" (Jiang et al. 2022)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recface.data import Batch
from recface.variants.reconstruction import Reconstructed, Reconstruction


class Baseline(Reconstruction):
    """Landmark, pixel, perceptual and Tikhonov terms; identity labels go unused."""

    def __init__(self, config: dict[str, Any], *models: Any, **options: Any) -> None:
        super().__init__(config, *models, **options)
        loss = config["loss"]
        self.weights = {
            "landmark": loss["landmark"],
            "pixel": loss["pixel"],
            "perceptual": loss["perceptual"],
            "tikhonov_identity": loss["tikhonov_identity"],
            "tikhonov_expression": loss["tikhonov_expression"],
            "tikhonov_albedo": loss["tikhonov_albedo"],
        }

    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The reconstruction terms alone."""
        return self.reconstruction_terms(batch, face)
