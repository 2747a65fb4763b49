"""One LightningModule a variant, side by side, so that two can be compared by eye."""

from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed, Reconstruction
from recface.variants.sir import SIR

VARIANTS: dict[str, type[Reconstruction]] = {"baseline": Baseline, "sir": SIR}
"""Variants by their name in the configuration."""

__all__ = ["VARIANTS", "Baseline", "Reconstructed", "Reconstruction", "SIR"]
