"""What predicts photos: a trained variant, and any predictor with a clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recface.data import Source
from recface.render import project
from recface.variants import Reconstruction

Predictor = Callable[[Source], dict[str, Tensor]]
"""Anything that reconstructs N photos of a source: identity (N, K) and, as known, expression (N, E) and landmarks
(N, 68, 2)."""
CHUNK = 128


class Timed:
    """A predictor that counts photos and CPU seconds: wall-clock time would depend on what else the machine does.

    On a CUDA device the seconds are those of the host, which waits for the result.

    Args:
        predictor: What predicts.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.photos, self.seconds = predictor, 0, 0.0

    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Predict a source."""
        begin = time.process_time()
        output = self.predictor(source)
        self.seconds, self.photos = self.seconds + time.process_time() - begin, self.photos + len(source)
        return output

    @property
    def timings(self) -> dict[str, float]:
        """CPU seconds per photo, as records hold them; from all photos so far."""
        return {"image_cpu_seconds": self.seconds / self.photos} if self.photos else {}


class Network:
    """A trained variant as a predictor.

    Args:
        variant: The variant; its weights must not change from here on.

    Attributes:
        face_model: The plain face model that its predictions are parameters of.
    """

    def __init__(self, variant: Reconstruction) -> None:
        self.variant = variant.eval()
        self.face_model, self._turn = variant.exported()

    @torch.no_grad()
    def __call__(self, source: Source) -> dict[str, Tensor]:
        """Run the network over N photos.

        Returns:
            identity (N, K) as parameters of `face_model`, expression (N, E) and projected landmarks (N, 68, 2), on the
            CPU in float32.
        """
        variant, parts = self.variant, []
        for start in range(0, len(source), CHUNK):
            photos = torch.from_numpy(np.array(source.images[start : start + CHUNK])).to(variant.device)
            coefficients = variant(photos.float() / 255)
            marks = variant.face_model.landmarks(coefficients.identity, coefficients.expression)
            placed = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
            identity = coefficients.identity
            if self._turn is not None:
                identity = identity @ self._turn.to(variant.device)
            parts.append({"identity": identity, "expression": coefficients.expression, "landmarks": placed})
        return {key: torch.cat([part[key] for part in parts]).float().cpu() for key in parts[0]}
