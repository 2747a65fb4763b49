"""Metrics: pure functions in `functional`, all of a test set's in `evaluation`, the field's protocols in `protocols`.

Names are imported when they are first used: listing the protocols needs none of them, and torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recface.metrics.evaluation import MeasuredShapes, evaluate_shapes, masked_basis, shape_errors
    from recface.metrics.functional.distribution import warn_collapse
    from recface.metrics.protocols import CONDITION_PROTOCOLS, PHOTO_PROTOCOLS, PROTOCOLS, Protocol, protocol_ids
    from recface.metrics.sample_metric import SampleMetric

__all__ = [
    "CONDITION_PROTOCOLS",
    "PHOTO_PROTOCOLS",
    "PROTOCOLS",
    "MeasuredShapes",
    "Protocol",
    "SampleMetric",
    "evaluate_shapes",
    "masked_basis",
    "protocol_ids",
    "shape_errors",
    "warn_collapse",
]

_MODULES = {
    "evaluation": ("MeasuredShapes", "evaluate_shapes", "masked_basis", "shape_errors"),
    "functional.distribution": ("warn_collapse",),
    "protocols": ("CONDITION_PROTOCOLS", "PHOTO_PROTOCOLS", "PROTOCOLS", "Protocol", "protocol_ids"),
    "sample_metric": ("SampleMetric",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from the module that holds it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
