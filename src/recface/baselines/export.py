"""Evaluation photos as files, for methods that do not run here; their predictions come back by the same ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from recface.data.benchmark import Benchmark
from recface.data.photos import LANDMARK_COLUMNS
from recface.data.sources import embedded_source
from recface.face_model import FaceModel
from recface.face_model.mesh_files import obj_text
from recface.face_model.npz import save
from recface.render.camera import to_pixels
from recface.tracking.atomic import require_empty, write_bytes

EXPORTED = ("validation", "test", "control_shape", "control_albedo")
"""Splits of the embedded benchmark that metrics are computed on."""
TABLE, MODEL, MEAN = "photos.csv", "face_model.npz", "mean_face.obj"


def export_benchmark(
    benchmark: Benchmark, face_model: FaceModel, folder: Path, watch: Callable[[int, int], None] | None = None
) -> Path:
    """Write what an outside method needs; who is in a photo and the true shapes stay here.

    Args:
        benchmark: The embedded benchmark.
        face_model: Its face model.
        folder: New or empty; gets `images/<id>.png`, `photos.csv` (id, file, split and 68 landmarks x1, y1, ..., x68,
            y68 in pixels), the face model in the suite's schema, and its mean as OBJ, whose order of vertices
            predictions keep.
        watch: Called with the photos written and their number.

    Returns:
        Path of the table.

    Raises:
        RecfaceError: The folder holds something already: photos of another benchmark would stay among these.
    """
    require_empty(folder)
    (folder / "images").mkdir(parents=True)
    sources = [embedded_source(benchmark, split) for split in EXPORTED]
    count, parts = sum(map(len, sources)), []
    for source in sources:
        ids, size = source.ids, source.images.shape[-1]
        for name, image in zip(ids, source.images, strict=True):
            Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(folder / "images" / f"{name}.png")
        marks = to_pixels(torch.from_numpy(np.asarray(source.landmarks, np.float64)), size).flatten(1).numpy()
        named = pd.DataFrame({"id": ids, "file": [f"images/{name}.png" for name in ids], "split": source.name})
        parts.append(named.join(pd.DataFrame(marks, columns=LANDMARK_COLUMNS).round(3)))
        if watch is not None:
            watch(sum(map(len, parts)), count)
    save(face_model, folder / MODEL)
    write_bytes(folder / MEAN, obj_text(face_model.mean.numpy(), face_model.triangles.numpy()).encode())
    write_bytes(folder / TABLE, pd.concat(parts).to_csv(index=False, lineterminator="\n").encode())
    return folder / TABLE
