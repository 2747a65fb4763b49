"""What every number means: the columns of our own benchmark, and the protocols of the field."""

from recface.metrics.protocols.base import BENCHMARKS, BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.columns import PHOTO_PROTOCOLS, PROTOCOLS, Protocol, protocol_ids

__all__ = [
    "BENCHMARKS",
    "PHOTO_PROTOCOLS",
    "PROTOCOLS",
    "BenchmarkProtocol",
    "Predictions",
    "Protocol",
    "Truth",
    "protocol_ids",
    "register",
]
