"""Splits of the embedded benchmark as sources."""

from __future__ import annotations

import numpy as np

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
    labels, images = benchmark.labels(split), benchmark.images(split)
    shown = TRAINING_LABELS.get(split, ("identity", "landmarks", "identity_parameters"))
    extra = {}
    if split not in TRAINING_LABELS:
        extra = {key: labels[key] for key in ("angles", "expression", "albedo", "occluded")}
        # The benchmark's hash is part of the names, so that predictions for another one are not taken for this one's.
        extra["file"] = np.array([f"{split}_{benchmark.manifest_hash[:8]}_{row:05d}" for row in range(len(images))])
    return Source(split, images, **{key: labels[key] for key in shown}, extra=extra)
