"""Meaning of every number: the columns of our own benchmark, and the protocols of the field.

Importing this package imports every module in it, so that each protocol registers itself. These modules import torch
and other heavy packages inside functions only, so that a list of protocols appears at once.
"""

from importlib import import_module
from pkgutil import iter_modules

from recface.metrics.protocols.own_benchmark import (
    CONDITION_PROTOCOLS,
    PHOTO_PROTOCOLS,
    PROTOCOLS,
    Protocol,
    protocol_ids,
)
from recface.metrics.protocols.protocol import BENCHMARKS, BenchmarkProtocol, Predictions, Truth, register

__all__ = [
    "BENCHMARKS",
    "CONDITION_PROTOCOLS",
    "PHOTO_PROTOCOLS",
    "PROTOCOLS",
    "BenchmarkProtocol",
    "Predictions",
    "Protocol",
    "Truth",
    "protocol_ids",
    "register",
]

for _module in sorted(module.name for module in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")
