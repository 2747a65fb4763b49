"""Readers of what others predicted, and of what is true: files to `Predictions` and `Truth`, checked."""

from recface.metrics.readers.manifest import read_truth
from recface.metrics.readers.match import Matched, match
from recface.metrics.readers.predictions import read_predictions

__all__ = ["Matched", "match", "read_predictions", "read_truth"]
