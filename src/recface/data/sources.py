"""Sources of photos: one form for all, from the embedded benchmark, a prepared store, or a table of photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from recface.data.benchmark import Benchmark
from recface.data.photos import LazyRows, read_photos
from recface.data.store import PhotoStore
from recface.errors import RecfaceError, named

NO_IDENTITY = -1
"""Identity of a photo whose person is unknown. Unknown landmarks and shape parameters are NaN."""

Batch = dict[str, Tensor]
Rows = np.ndarray | LazyRows


@dataclass(frozen=True)
class Source:
    """Photos of one origin, with their labels.

    Attributes:
        name: Its name in the configuration.
        images: (N, 3, S, S) uint8, in memory, memory-mapped, or read when a batch needs them.
        identity: (N,) integers in 0..num_identities-1, -1 = unknown; or None: nobody is named.
        landmarks: (N, 68, 2) normalized (x right, y up), as `images`; or None. A photo without landmarks has NaN.
        identity_parameters: (N, K) true whitened shape parameters, or None.
        extra: Further arrays of N rows (pose, expression, ...), for evaluation only; never in a batch.
    """

    name: str
    images: Rows
    identity: np.ndarray | None = None
    landmarks: Rows | None = None
    identity_parameters: np.ndarray | None = None
    extra: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise RecfaceError(f"data source '{self.name}' is empty; check its path and filters")
        if self.identity is None and self.landmarks is None:
            raise RecfaceError(
                f"data source '{self.name}' has neither identity nor landmark labels, so no loss term can use it; "
                "add a column 'identity' or columns x1,y1 to x68,y68 to its table"
            )
        for field in ("identity", "landmarks", "identity_parameters"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.images):
                raise RecfaceError(
                    f"data source '{self.name}': {len(values)} rows of {field} for {len(self.images)} photos; "
                    "give one for each photo"
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def ids(self) -> list[str]:
        """Names of the photos: `file` of `extra`, such as the column of a table of photographs, or `<source>_<row>`."""
        if self.extra is not None and "file" in self.extra:
            return list(self.extra["file"].tolist())
        return [f"{self.name}_{row:05d}" for row in range(len(self))]

    @property
    def num_identities(self) -> int:
        """Number of named people; 0 where nobody is named."""
        return 0 if self.identity is None else int(self.identity.max()) + 1

    def batch(self, rows: np.ndarray, num_parameters: int, source_index: int, first_identity: int = 0) -> Batch:
        """Assemble samples.

        Args:
            rows: (B,) indices of the photos.
            num_parameters: Number K of shape parameters, to fill unknown ones with NaN.
            source_index: Number of this source in the mix.
            first_identity: Added to the identities, so that those of several sources do not collide.

        Returns:
            image (B, 3, S, S) uint8, identity (B,), landmarks (B, 68, 2), identity_parameters (B, K), source (B,),
            record (B,).
        """
        count = len(rows)
        identity = np.full(count, NO_IDENTITY)
        if self.identity is not None:
            own = self.identity[rows].astype(np.int64)
            identity = np.where(own == NO_IDENTITY, own, own + first_identity)
        landmarks = np.full((count, 68, 2), np.nan) if self.landmarks is None else self.landmarks[rows]
        truth = self.identity_parameters
        parameters = np.full((count, num_parameters), np.nan) if truth is None else truth[rows]
        return {
            "image": torch.from_numpy(self.images[rows]),
            "identity": torch.from_numpy(identity),
            "landmarks": torch.from_numpy(landmarks.astype(np.float32)),
            "identity_parameters": torch.from_numpy(parameters.astype(np.float32)),
            "source": torch.full((count,), source_index),
            "record": torch.from_numpy(np.asarray(rows, dtype=np.int64)),
        }


TRAINING_LABELS = {"identity": ("identity",), "landmark": ("landmarks",)}
"""Labels of the training splits; the benchmark's other labels are hidden from the networks."""
EXTRA_LABELS = ("angles", "expression", "albedo", "occluded")
"""Further labels of the evaluation splits."""
PHOTO_LABELS = ("file", "expression", "gender", "ethnicity")
"""Further labels of a table of photos."""


def embedded_source(benchmark: Benchmark, split: str, truth: bool = False) -> Source:
    """Open a split of the embedded benchmark, memory-mapped.

    Training splits hide labels ("identity": people but no landmarks; "landmark": landmarks but no people); evaluation
    splits have all, and the true shapes, which `truth` shows of training splits too.
    """
    labels, images = benchmark.labels(split), benchmark.images(split)
    shown = TRAINING_LABELS.get(split, ("identity", "landmarks", "identity_parameters"))
    if truth and split in TRAINING_LABELS:
        shown = (*shown, "identity_parameters")
    extra = {}
    if split not in TRAINING_LABELS:
        extra = {key: labels[key] for key in EXTRA_LABELS}
        # The benchmark's hash is part of the names, so that predictions for another benchmark are refused.
        extra["file"] = np.array([f"{split}_{benchmark.manifest_hash[:8]}_{row:05d}" for row in range(len(images))])
    return Source(split, images, **{key: labels[key] for key in shown}, extra=extra)


def manifest_source(
    path: str | Path, canonical: np.ndarray, size: int, name: str = "manifest", framed: bool = False
) -> Source:
    """Read a folder of photos with its table: the door for real data.

    The table has a column `file` (relative to the table's folder or to `images/` in it) and, as known, `identity` (any
    string; empty = unknown), `expression`, `gender`, `ethnicity`, and 68 landmarks as x1, y1, ..., x68, y68 in pixels
    of the upright picture (empty = unknown). Photos with landmarks are cropped to the suite's framing. Photos without
    are only resized, and must be framed already: `framed`, or the table's own column `framed`, says so.

    Arguments and errors are those of `read_photos`; a table without labels is an error too. Photos are decoded in the
    batches that need them. `extra` holds the table's columns of `PHOTO_LABELS`.
    """
    photos = read_photos(path, canonical, size, f"data source '{name}'", framed)
    table = photos.table
    identity = None
    if "identity" in table and (table["identity"] != "").any():
        known = table["identity"].where(table["identity"] != "")
        identity = pd.factorize(known, sort=True)[0].astype(np.int64)  # unknown is -1, our NO_IDENTITY
    extra = {key: table[key].to_numpy(str) for key in PHOTO_LABELS if key in table}
    return Source(name, photos.images, identity, photos.landmarks, extra=extra)


class Selection:
    """Some rows of a store (None: all), photos scaled to a size; goes to the workers of a loader as it is."""

    def __init__(self, store: PhotoStore, rows: np.ndarray | None, size: int) -> None:
        self.store, self.rows, self.size = store, rows, size

    def images(self, rows: np.ndarray) -> np.ndarray:
        """(B, 3, S, S) uint8."""
        photos = self.store.images(self._of(rows))
        if self.size == self.store.size:
            return photos
        return interpolate(torch.from_numpy(photos), self.size, mode="bilinear", antialias=True).numpy()

    def landmarks(self, rows: np.ndarray) -> np.ndarray:
        """(B, 68, 2)."""
        return self.store.landmarks(self._of(rows))

    def _of(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.rows is None else self.rows[rows]


def store_source(
    path: str | Path, size: int, name: str = "store", split: str | None = None, labels: str | None = None
) -> Source:
    """Open a prepared store, of which nothing but identities is in memory.

    Args:
        path: The store's folder.
        size: Width and height S of the photos; larger ones of the store are scaled down.
        name: Of the source, for messages.
        split: That of the store to take; None = all photos.
        labels: "identity" or "landmarks" to show these alone; None = all that the store has.

    Raises:
        RecfaceError: There is no whole store; its photos are smaller; or it has no such split or no such labels.
    """
    with named(f"data source '{name}'"):
        store = PhotoStore(path)
    if store.size < size:
        raise RecfaceError(
            f"data source '{name}': {path}: photos of {store.size} pixels for scale.image_size={size}; prepare them "
            f"with --size {size}, or set scale.image_size={store.size}"
        )
    rows = None
    if split is not None:
        if split not in store.splits:
            known = ", ".join(store.splits) or "no split"
            raise RecfaceError(f"data source '{name}': {path}: no split '{split}'; it has {known}")
        rows = np.flatnonzero(store.split == store.splits.index(split)).astype(np.int32)
    identity, known = (part if rows is None else part[rows] for part in (store.identity, store.has_landmarks))
    if rows is not None:  # people of other splits get no class
        present = np.zeros(len(store.people) + 1, np.int32)
        present[np.unique(identity)] = 1
        identity = (np.append(present[:-1].cumsum() - 1, NO_IDENTITY)[identity]).astype(np.int32)
    chosen, count = Selection(store, rows, size), len(known)
    return Source(
        name,
        LazyRows(chosen.images, (count, 3, size, size)),
        identity if labels != "landmarks" and (identity >= 0).any() else None,
        LazyRows(chosen.landmarks, (count, 68, 2)) if labels != "identity" and known.any() else None,
    )


SOURCES: dict[str, Callable[..., Source]] = {
    "embedded": embedded_source,
    "manifest": manifest_source,
    "store": store_source,
}
"""Builders by the `kind` of a source in the configuration."""
