"""Per-vertex error where the true correspondence is known."""

from __future__ import annotations

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

CHUNK = 128


class _Correspondence(BenchmarkProtocol):
    unit = "mm"
    direction = "lower"
    needs = ("vertices",)
    columns = ("shape",)
    values = {"mean": "mean over samples", "median": "median over samples", "std": "standard deviation over samples"}
    with_scale = True

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        errors = self.errors(predictions, truth)
        return {"mean": float(errors.mean()), "median": float(np.median(errors)), "std": float(errors.std())}

    def errors(self, predictions: Predictions, truth: Truth) -> np.ndarray:
        """(N,) mm: mean per-vertex error of each sample after alignment."""
        import torch

        from recface.metrics.functional.shape_error import per_vertex_error
        from recface.metrics.readers.predictions import read_shapes

        region = predictions.region
        names = truth.table["shape"].astype(str).to_numpy()
        shapes, row = read_shapes(truth.folder, names, truth.where)
        if region is not None and shapes.shape[1] == len(region):
            shapes = shapes[:, region]
        parts = []
        for start in range(0, len(predictions), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(predictions)))
            predicted = torch.from_numpy(neutral_vertices(predictions, rows))
            if predicted.shape[1:] != shapes.shape[1:]:
                raise RecfaceError(
                    f"{predictions.where}: {predicted.shape[1]:,} vertices, but {shapes.shape[1]:,} in the true shapes "
                    f"of {truth.where}; this protocol needs one topology"
                )
            target = torch.from_numpy(np.asarray(shapes[row[rows]], np.float32))
            parts.append(per_vertex_error(predicted, target, with_scale=self.with_scale).numpy())
        return np.concatenate(parts).astype(np.float64)


def neutral_vertices(predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    """(C, V, 3) mm, float32: shapes of some rows, decoded where only a basis is given."""
    if predictions.vertices is not None:
        return np.array(predictions.vertices[rows], np.float32)
    assert predictions.parameters is not None and predictions.basis is not None and predictions.mean is not None
    offsets = predictions.parameters[rows] @ predictions.basis.reshape(-1, predictions.basis.shape[2]).T
    return (offsets.reshape(len(rows), -1, 3) + predictions.mean).astype(np.float32)


@register
class CorrespondenceSimilarity(_Correspondence):
    """Mean per-vertex distance to the true shape in the same topology, after a similarity alignment.

    Source: methods.md, "SFM", metrics [C]; alignment ours [O]. No closest points: these correlate weakly with the true
    error. Alignment: Umeyama 1991, rotation, translation and scale of each sample, on the vertices measured, without
    reflection. Crop: all vertices given, or the face region of the face model named. Similarity: none. Unit: mm.
    """

    id = "correspondence-similarity/v1"
    source = "ours; docs/methods.md, SFM's mean per-vertex error"


@register
class CorrespondenceRigid(_Correspondence):
    """Mean per-vertex distance to the true shape in the same topology, after a rigid alignment: size counts.

    Source: methods.md, "SFM", metrics [C]; alignment ours [O]. Alignment: rotation and translation of each sample
    (Kabsch 1976), on the vertices measured, without reflection. Crop: all vertices given, or the face region of the
    face model named. Similarity: none. Unit: mm.
    """

    id = "correspondence-rigid/v1"
    source = "ours; docs/methods.md, SFM's mean per-vertex error"
    with_scale = False
