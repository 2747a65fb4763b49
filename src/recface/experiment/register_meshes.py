"""All meshes of a method registered to the suite's face model, and what came of it as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.metrics.protocols.base import Predictions
from recface.peers.registration import Registered, Registration
from recface.tracking.atomic import require_empty, write_array, write_bytes

REPORT = "registration.csv"
LEAST_SHARE, LARGEST_RMS = 0.7, 4.0


def register_predictions(
    predictions: Predictions,
    face_model: FaceModel,
    landmarks: np.ndarray,
    watch: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[Registered]]:
    """Register every mesh of a method.

    Args:
        predictions: With vertices and triangles.
        face_model: The suite's.
        landmarks: As `Registration`.
        watch: Called with the meshes done and their number.

    Returns:
        Vertices (N, V, 3) float32 in mm, in the face model's topology, and how each mesh was met.

    Raises:
        RecfaceError: No vertices or triangles, or as `Registration`, with the id.
    """
    if predictions.vertices is None or predictions.triangles is None:
        raise RecfaceError(f"{predictions.where}: registration needs vertices and triangles")
    registration = Registration(face_model, landmarks)
    whole = (face_model.identity_basis * face_model.identity_sigma).double().numpy()
    mean, shapes, registered = face_model.mean.double().numpy(), [], []
    for row, name in enumerate(predictions.ids):
        try:
            found = registration(np.asarray(predictions.vertices[row], np.float64), predictions.triangles)
        except RecfaceError as error:
            raise RecfaceError(f"{predictions.where}: id {name}: {error}") from None
        shapes.append((mean + (whole @ found.parameters).reshape(-1, 3)).astype(np.float32))
        registered.append(found)
        if watch is not None:
            watch(row + 1, len(predictions))
    return np.stack(shapes), registered


def read_landmark_rows(path: Path) -> np.ndarray:
    """Rows (68,) of a topology's landmarks from a text file of 68 whole numbers, apart by blanks, commas or lines.

    Raises:
        RecfaceError: It cannot be read, or holds anything else.
    """
    try:
        rows = np.array(path.read_text().replace(",", " ").split(), np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise RecfaceError(f"{path}: not a list of 68 whole numbers ({' '.join(str(error).split())[:80]})") from None
    if len(rows) != 68:
        raise RecfaceError(
            f"{path}: holds {len(rows)} numbers; the rows of 68 landmarks are needed, -1 for unknown ones"
        )
    return rows


def write_registered(
    folder: Path, predictions: Predictions, vertices: np.ndarray, registered: Sequence[Registered]
) -> Path:
    """Write shapes as predictions that `peers.imported` reads, and how well each mesh was met.

    Args:
        folder: New or empty; gets vertices.npy, landmarks.npy where the method predicted them, ids.csv and
            registration.csv.
        predictions: As they came.
        vertices: (N, V, 3) mm, registered.
        registered: How each mesh was met.

    Returns:
        Path of registration.csv: distance, share of the face region that lies over the mesh, and the root mean square
        of the parameters, which is near 1 for a person of the face model's population.

    Raises:
        RecfaceError: The folder holds something already.
    """
    require_empty(folder)
    for name, array in (("vertices", vertices), ("landmarks", predictions.landmarks)):
        if array is not None:
            write_array(folder / f"{name}.npy", array)
    rows = [(one.rms_mm, one.share, one.parameter_rms) for one in registered]
    table = pd.DataFrame(rows, columns=["rms_mm", "share", "parameter_rms"]).round(4)
    table.insert(0, "id", predictions.ids)
    write_bytes(folder / "ids.csv", table[["id"]].to_csv(index=False, lineterminator="\n").encode())
    write_bytes(folder / REPORT, table.to_csv(index=False, lineterminator="\n").encode())
    return folder / REPORT


def doubtful(registered: Sequence[Registered]) -> int:
    """Meshes that were hardly met: much of the face lies beyond them, or no person has such a shape.

    Wrong landmarks still give small distances, since the shape bends to whatever lies near.
    """
    return sum(one.share < LEAST_SHARE or one.parameter_rms > LARGEST_RMS for one in registered)
