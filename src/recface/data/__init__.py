"""Sources with different labels, mixed into one batch; and the embedded benchmark."""

from recface.data.datamodule import MixedDataModule
from recface.data.sources import NO_IDENTITY, Batch, Source

__all__ = ["NO_IDENTITY", "Batch", "MixedDataModule", "Source"]
