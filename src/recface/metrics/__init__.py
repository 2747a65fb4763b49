"""Metrics: pure functions in `functional`, a thin torchmetrics class beside each, and one function for all of them."""

from recface.metrics.clustering import Clustering
from recface.metrics.evaluation import evaluate_shapes, masked_basis, shape_errors
from recface.metrics.faithfulness import Faithfulness
from recface.metrics.functional.prior import warn_collapse
from recface.metrics.landmark_error import LandmarkNME
from recface.metrics.prior import PriorDistance
from recface.metrics.protocols import PHOTO_PROTOCOLS, PROTOCOLS, Protocol, protocol_ids
from recface.metrics.shape_error import ShapeError
from recface.metrics.sir import SIRMetric
from recface.metrics.verification import GeometryVerification, ParameterVerification

__all__ = [
    "PHOTO_PROTOCOLS",
    "PROTOCOLS",
    "Clustering",
    "Faithfulness",
    "GeometryVerification",
    "LandmarkNME",
    "ParameterVerification",
    "PriorDistance",
    "Protocol",
    "SIRMetric",
    "ShapeError",
    "evaluate_shapes",
    "masked_basis",
    "protocol_ids",
    "shape_errors",
    "warn_collapse",
]
