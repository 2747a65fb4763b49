"""Metrics: pure functions in `functional`, a thin torchmetrics class beside each, and one function for all of them.

Names are imported when they are first used: listing the protocols needs none of them, and torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recface.metrics.clustering import Clustering
    from recface.metrics.evaluation import evaluate_shapes, masked_basis, shape_errors
    from recface.metrics.faithfulness import Faithfulness
    from recface.metrics.functional.prior import warn_collapse
    from recface.metrics.landmark_error import LandmarkNME
    from recface.metrics.prior import PriorDistance
    from recface.metrics.protocol_metric import ProtocolMetric
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
    "ProtocolMetric",
    "SIRMetric",
    "ShapeError",
    "evaluate_shapes",
    "masked_basis",
    "protocol_ids",
    "shape_errors",
    "warn_collapse",
]

_MODULES = {
    "clustering": ("Clustering",),
    "evaluation": ("evaluate_shapes", "masked_basis", "shape_errors"),
    "faithfulness": ("Faithfulness",),
    "functional.prior": ("warn_collapse",),
    "landmark_error": ("LandmarkNME",),
    "prior": ("PriorDistance",),
    "protocol_metric": ("ProtocolMetric",),
    "protocols": ("PHOTO_PROTOCOLS", "PROTOCOLS", "Protocol", "protocol_ids"),
    "shape_error": ("ShapeError",),
    "sir": ("SIRMetric",),
    "verification": ("GeometryVerification", "ParameterVerification"),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from the module that holds it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
