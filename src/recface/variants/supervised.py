"""A ceiling: the baseline's network told the true shapes, which no photograph comes with. Ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recface.data import Batch
from recface.errors import RecfaceError
from recface.losses import masked_mean
from recface.settings import Config
from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed


class Supervised(Baseline):
    """The baseline's terms, and in stage 2 the distance to the true shape.

    How much of the gap to the truth is the network's, and how much its supervision's? Needs `data.truth`.
    """

    section = "supervised"

    def __init__(self, config: Config, *models: Any, **options: Any) -> None:
        super().__init__(config, *models, **options)
        if not config["data"]["truth"]:
            raise RecfaceError("variant supervised learns from the true shapes: set data.truth=true")

    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The baseline's terms, and the root mean square distance of vertices in mm where the truth is known."""
        known = batch["identity_parameters"].isfinite().all(dim=1)
        true = batch["identity_parameters"].where(known[:, None], 0.0)
        distance = self.face_model.root_mean_square(face.coefficients.identity - true).norm(dim=1)
        return super().terms(batch, face) | {"shape": masked_mean(distance, known)}
