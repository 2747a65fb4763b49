"""SIR: shape identity-aware regularization (Jiang et al. 2022, arXiv 2104.03515)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recface.data import Batch
from recface.losses import Separation, WeightedCenter, center_weight, prior_loss
from recface.render import matrix_to_euler
from recface.settings import Config
from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed


class SIR(Baseline):
    """The baseline's terms, and in stage 2 separation, weighted center, and the prior on the parameters.

    The separation works on sigma-weighted parameters, whose distances are distances between shapes, so that what it
    separates is geometry (ours; methods.md, "Why parameters and geometry are linked").
    """

    section = "sir"

    def __init__(self, config: Config, *models: Any, **options: Any) -> None:
        super().__init__(config, *models, **options)
        sir, dimension = config["sir"], self.face_model.num_identity
        self.separation = Separation(self.num_identities, dimension, sir["softmax_scale"], sir["margin"])
        self.center = WeightedCenter(self.num_identities, dimension, sir["center_rate"])

    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The baseline's terms and the three of SIR; those without identity labels take no part in the first two."""
        coefficients, person = face.coefficients, batch["identity"]
        angles = matrix_to_euler(coefficients.rotation.detach())
        frontal = center_weight(angles, coefficients.expression.detach())
        return super().terms(batch, face) | {
            "separation": self.separation(self.face_model.weighted(coefficients.identity), person),
            "center": self.center(coefficients.identity, person, frontal),
            "prior": prior_loss(coefficients.identity),
        }
