"""One LightningModule a variant, side by side, so that two can be compared by eye."""

from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed, Reconstruction
from recface.variants.sfm import SFM
from recface.variants.sir import SIR

VARIANTS: dict[str, type[Reconstruction]] = {"baseline": Baseline, "sir": SIR, "sfm": SFM}
"""Variants by their name in the configuration."""

__all__ = ["VARIANTS", "Baseline", "Reconstructed", "Reconstruction", "SFM", "SIR"]
