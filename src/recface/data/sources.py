"""One file a dataset: each builds a `Source`.

Splits of the embedded benchmark as sources.

A folder of photos with a table: the door for real data.

The table has a column `file` (relative to the table's folder or to `images/` in it) and, as known, `identity` (any
string; empty = unknown), `expression`, and 68 landmarks as x1, y1, ..., x68, y68 in pixels (empty = unknown). Photos
with landmarks are cropped to the suite's framing; photos without must be framed already and are only resized.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from recface.data.benchmark import Benchmark
from recface.data.photos import read_photos
from recface.data.source import NO_IDENTITY, Source

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


def manifest_source(path: str | Path, canonical: np.ndarray, size: int, name: str = "manifest") -> Source:
    """Read a folder of photos with its table.

    Args:
        path: The CSV table, or a folder that holds `faces.csv`.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        name: Name of the source in messages.

    Returns:
        The source, in memory. `extra` holds the tables' columns expression and file.

    Raises:
        RecfaceError: No table, no column 'file', an unreadable photo (named with its row), or no label at all.
    """
    photos = read_photos(path, canonical, size, f"data source '{name}'")
    table = photos.table
    identity = None
    if "identity" in table and table["identity"].notna().any():
        identity = pd.factorize(table["identity"], sort=True)[0].astype(np.int64)  # unknown becomes -1
        assert NO_IDENTITY == -1
    extra = {key: table[key].fillna("").to_numpy(str) for key in ("file", "expression") if key in table}
    return Source(name, photos.images, identity, photos.landmarks, extra=extra)


SOURCES: dict[str, Callable[..., Source]] = {"embedded": embedded_source, "manifest": manifest_source}
"""Builders by the `kind` of a source in the configuration."""
