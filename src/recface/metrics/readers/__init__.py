"""Readers of what others predicted, and of what is true: files to `Predictions` and `Truth`, checked."""

from recface.metrics.readers.match import Matched, match
from recface.metrics.readers.predictions import read_predictions
from recface.metrics.readers.truth import read_truth

__all__ = ["Matched", "match", "read_predictions", "read_truth"]
