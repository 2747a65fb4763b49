"""Splits of the embedded benchmark as sources."""

from __future__ import annotations

from recface.data.benchmark import Benchmark
from recface.data.source import Source

TRAINING_LABELS = {"identity": ("identity",), "landmark": ("landmarks",)}
"""What a training split shows; the benchmark knows more, but a network must not."""
CONDITIONS = ("angles", "expression", "light", "albedo", "occluded")
"""What evaluation splits say about each photo beside the labels."""


def embedded_source(benchmark: Benchmark, split: str) -> Source:
    """Open a split of the embedded benchmark.

    Args:
        benchmark: The generated benchmark.
        split: A training split ("identity": people but no landmarks; "landmark": landmarks but no people) or an
            evaluation split, which has all labels and the true shapes.

    Returns:
        The source, memory-mapped.
    """
    labels = benchmark.labels(split)
    shown = TRAINING_LABELS.get(split, ("identity", "landmarks", "identity_parameters"))
    extra = (
        {} if split in TRAINING_LABELS else {key: labels[key] for key in ("angles", "expression", "albedo", "occluded")}
    )
    return Source(split, benchmark.images(split), **{key: labels[key] for key in shown}, extra=extra)
