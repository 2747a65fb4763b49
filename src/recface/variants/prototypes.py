"""SIR with people told apart by the distances of their shapes in place of learned directions. Ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recface.errors import RecfaceError
from recface.losses import prototype_loss
from recface.settings import Config
from recface.variants.sir import SIR


class Prototypes(SIR):
    """SIR's terms, the separation replaced: each photo's shape should be nearest to its own person's center.

    Confident photos, frontal and neutral, count more, as in the centers. methods.md, "SIR".
    """

    section = "prototypes"

    def __init__(self, config: Config, *models: Any, **options: Any) -> None:
        super().__init__(config, *models, **options)
        if config["sir"]["center_space"] != "shapes":
            raise RecfaceError("variant prototypes measures distances of shapes: set sir.center_space=shapes")

    def separation_term(self, shapes: Tensor, person: Tensor, frontal: Tensor) -> Tensor:
        """`prototype_loss` by root mean square distances in mm."""
        seen, deviation = self.center.mass > 0, self.config["prototypes"]["deviation"]
        # A copy: the centers take in this batch before the backward pass.
        return prototype_loss(shapes, self.center.centers.clone(), seen, person, frontal, deviation)
