"""FaceWarehouse: registered meshes, compared vertex by vertex."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scan_rows import named, path_of, require_fields, required_path, row_name


def corresponding(predicted: np.ndarray, vertex_of: np.ndarray | None, count: int) -> np.ndarray:
    """Predicted positions of the registered mesh's vertices.

    Source: ours.

    Args:
        predicted: (V, 3).
        vertex_of: (count,) predicted vertex of each registered one, -1 where there is none; None: the same topology.
        count: Vertices of the registered mesh.

    Returns:
        (count, 3), NaN where there is none.

    Raises:
        RecfaceError: Where the numbers of vertices do not fit.
    """
    if vertex_of is None:
        if len(predicted) != count:
            raise RecfaceError(
                f"{len(predicted)} predicted vertices for a registered mesh of {count}; give the column "
                "correspondence, or predictions of its topology"
            )
        return predicted
    if vertex_of.shape != (count,) or vertex_of.dtype.kind not in "iu":
        raise RecfaceError(f"correspondence is {vertex_of.dtype} {vertex_of.shape}, expected integers ({count},)")
    if vertex_of.min() < -1 or vertex_of.max() >= len(predicted):
        row = int(((vertex_of < -1) | (vertex_of >= len(predicted))).argmax())
        raise RecfaceError(f"correspondence {row} names vertex {vertex_of[row]} of {len(predicted)} predicted ones")
    return np.where(vertex_of[:, None] >= 0, predicted[vertex_of], np.nan)


@register
class FaceWarehouse(BenchmarkProtocol):
    """FaceWarehouse, or any registered meshes: true correspondence, no ICP.

    Source: Cao et al. 2014, "FaceWarehouse"; the error as in Tewari et al. 2017 (MoFA), on correspondences.
    Alignment: similarity, least squares over the vertices that count, without reflection.
    Crop: the column mask (a mask or vertex numbers of the registered mesh) if there is one, else all vertices; of those
        the ones that the column correspondence (`.npy`, one predicted vertex for each registered one, or -1) knows.
    Similarity: mean distance of corresponding vertices; mean over rows.
    Unit: mm.
    """

    id = "facewarehouse-similarity/v1"
    source = "Cao et al. 2014 (FaceWarehouse); Tewari et al. 2017 (MoFA)"
    unit = "mm"
    direction = "lower"
    needs = ("vertices",)
    columns = ("scan",)
    values: ClassVar[dict[str, str]] = {
        "error": "mean over rows of the mean vertex distance, mm",
        "std": "standard deviation over rows, mm",
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows of the mean vertex distance in mm; see the class and `base`."""
        require_fields(self.id, self.needs, predictions, truth)
        errors = []
        for row in range(len(truth)):
            with named(row_name(truth, row)):
                errors.append(self._error(predictions, truth, row))
        return {"error": float(np.mean(errors)), "std": float(np.std(errors))}

    def _error(self, predictions: Predictions, truth: Truth, row: int) -> float:
        import torch

        from recface.metrics.functional.shape_error import per_vertex_error
        from recface.metrics.scan import read_array, read_rows, read_scan, require_face, require_points

        name = f"{predictions.where}, {predictions.ids[row]}"
        target = read_scan(required_path(truth, row, "scan")).vertices
        vertices = require_points(predictions.vertices[row], f"{name}: vertices")
        require_face(vertices, name)
        path = path_of(truth, row, "correspondence")
        with named(name):
            vertices = corresponding(vertices, None if path is None else read_array(path), len(target))
        counts = np.isfinite(vertices).all(axis=1)
        if (mask := path_of(truth, row, "mask")) is not None:
            counts &= np.isin(np.arange(len(target)), read_rows(mask, len(target)))
        if counts.sum() < 3:
            raise RecfaceError(f"only {int(counts.sum())} vertices correspond; give a larger mask or correspondence")
        predicted, true = torch.from_numpy(vertices[counts]), torch.from_numpy(target[counts])
        return float(per_vertex_error(predicted[None], true))
