"""The sample contract: what every source yields, and which labels it lacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recface.errors import RecfaceError

NO_IDENTITY = -1
"""Identity of a photo whose person is unknown. Unknown landmarks and shape parameters are NaN."""

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Photos of one origin with the labels it has.

    Attributes:
        name: Its name in the configuration.
        images: (N, 3, S, S) uint8, in memory or memory-mapped.
        identity: (N,) int64 in 0..num_identities-1, or None: nobody is named.
        landmarks: (N, 68, 2) normalised (x right, y up), or None. A photo without landmarks has NaN.
        identity_parameters: (N, K) true whitened shape parameters, or None.
        extra: Further arrays of N rows (pose, expression, ...), for evaluation only; never in a batch.
    """

    name: str
    images: np.ndarray
    identity: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    identity_parameters: np.ndarray | None = None
    extra: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise RecfaceError(f"data source '{self.name}' is empty: check its path and filters")
        if self.identity is None and self.landmarks is None:
            raise RecfaceError(
                f"data source '{self.name}' has neither identity nor landmark labels: no loss term could use it; "
                "add a column 'identity' or columns x1,y1 to x68,y68 to its table"
            )
        for field in ("identity", "landmarks", "identity_parameters"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.images):
                raise RecfaceError(
                    f"data source '{self.name}': {len(values)} rows of {field} for {len(self.images)} photos"
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def ids(self) -> list[str]:
        """Names of the photos: `file` of `extra`, such as the column of a table of photographs, or `<source>_<row>`."""
        if self.extra is not None and "file" in self.extra:
            return self.extra["file"].tolist()
        return [f"{self.name}_{row:05d}" for row in range(len(self))]

    @property
    def num_identities(self) -> int:
        """Number of named people; 0 where nobody is named."""
        return 0 if self.identity is None else int(self.identity.max()) + 1

    def batch(self, rows: np.ndarray, num_parameters: int, source_index: int, first_identity: int = 0) -> Batch:
        """Assemble samples.

        Args:
            rows: (B,) which photos.
            num_parameters: Number K of shape parameters, to fill unknown ones with NaN.
            source_index: Number of this source in the mix.
            first_identity: Added to the identities, so that those of several sources do not collide.

        Returns:
            image (B, 3, S, S) uint8, identity (B,), landmarks (B, 68, 2), identity_parameters (B, K), source (B,),
            record (B,).
        """
        count = len(rows)
        identity = np.full(count, NO_IDENTITY) if self.identity is None else self.identity[rows] + first_identity
        landmarks = np.full((count, 68, 2), np.nan) if self.landmarks is None else self.landmarks[rows]
        truth = self.identity_parameters
        parameters = np.full((count, num_parameters), np.nan) if truth is None else truth[rows]
        return {
            "image": torch.from_numpy(np.ascontiguousarray(self.images[rows])),
            "identity": torch.from_numpy(identity.astype(np.int64)),
            "landmarks": torch.from_numpy(landmarks.astype(np.float32)),
            "identity_parameters": torch.from_numpy(parameters.astype(np.float32)),
            "source": torch.full((count,), source_index),
            "record": torch.from_numpy(np.asarray(rows, dtype=np.int64)),
        }
