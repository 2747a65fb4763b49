"""One LightningModule a variant, side by side, so that two can be compared by eye."""

from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed, Reconstruction
from recface.variants.sir import SIR

VARIANTS: dict[str, type[Reconstruction]] = {"baseline": Baseline, "sir": SIR}
"""Variants by their name in the configuration."""

VARIANT_VERSION = 1
"""Raised whenever the same configuration would train another network."""

__all__ = ["VARIANTS", "VARIANT_VERSION", "Baseline", "Reconstructed", "Reconstruction", "SIR"]
