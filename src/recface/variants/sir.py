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

    Separation and center work on sigma-weighted parameters, as in the authors' code. Their distances are distances
    between shapes, so what is told apart and gathered is geometry (methods.md, "Why parameters and geometry are
    linked").
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
        frontal = center_weight(angles, self.face_model.whitened_expression(coefficients.expression))
        shapes = self.face_model.root_mean_square(coefficients.identity)
        gathered = shapes if self.config["sir"]["center_space"] == "shapes" else coefficients.identity
        return super().terms(batch, face) | {
            "separation": self.separation_term(shapes, person, frontal),  # by the centers before this batch
            "center": self.center(gathered, person, frontal),
            "prior": prior_loss(coefficients.identity),
        }

    def separation_term(self, shapes: Tensor, person: Tensor, frontal: Tensor) -> Tensor:
        """CosFace on the directions of shapes (B, K) from the mean face; people and the photos' weights are (B,)."""
        return self.separation(shapes, person)
