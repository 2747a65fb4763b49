"""What every number means: the columns of our own benchmark, and the protocols of the field."""

# Importing a family registers its protocols, in the order in which they are listed.
from recface.metrics.protocols import bosphorus, facewarehouse, micc, now, realy
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
    "bosphorus",
    "facewarehouse",
    "micc",
    "now",
    "protocol_ids",
    "realy",
    "register",
]
