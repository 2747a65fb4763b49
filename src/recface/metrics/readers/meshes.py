"""Shapes given as meshes, one file each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.errors import RecfaceError, named
from recface.files.arrays import read_array
from recface.files.meshes import read_mesh, require_same_triangles
from recface.files.tables import line_of, read_table
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.checks import check_shape, checked, require_unique, unique_ids

PREDICTED_ENDINGS = (".obj", ".ply")
"""File endings of single predicted and true shapes; an npz holds arrays of all samples."""
IDS = "ids.csv"
POINTS = "points.npy"


def read_meshes(paths: list[Path], places: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read OBJ or PLY files of one topology: (N, V, 3) float32, and their (F, 3) int32 triangles.

    Raises RecfaceError where a file cannot be read, or has other triangles than the first or another number of
    vertices. For messages, `places` are N names of the files' rows, such as "ids.csv: line 3".
    """
    vertices, triangles = np.empty((0, 0, 3), np.float32), None
    for row, (path, place) in enumerate(zip(paths, places, strict=True)):
        with named(place):
            if path.suffix.lower() not in PREDICTED_ENDINGS:
                raise RecfaceError(f"{path.name} must be an OBJ or PLY file")
            mesh, faces = read_mesh(path)
            if row == 0:
                vertices, triangles = np.empty((len(paths), *mesh.shape), np.float32), faces
            if mesh.shape != vertices.shape[1:]:
                raise RecfaceError(
                    f"{path.name} has {len(mesh):,} vertices, {paths[0].name} has {len(vertices[0]):,}; "
                    "a method's predictions share one topology"
                )
            require_same_triangles(triangles, faces, (paths[0].name, path.name))
            vertices[row] = mesh
    return vertices, np.empty((0, 3), np.int32) if triangles is None else triangles.astype(np.int32)


def mesh_predictions(folder: Path) -> Predictions:
    """A folder of OBJ or PLY files; see `read_predictions`."""
    if (folder / IDS).is_file():
        table = read_table(folder / IDS, ("id", "file"))
        ids, files = unique_ids(table, folder / IDS), [folder / name for name in table["file"]]
        places = [f"{folder / IDS}: line {line_of(table, row)}" for row in range(len(ids))]
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PREDICTED_ENDINGS)
        ids, places = [file.stem for file in files], [str(folder)] * len(files)
        if not files:
            raise RecfaceError(
                f"{folder}: no predictions.npz, no npy files, and no OBJ or PLY files (docs/protocols.md)"
            )
        require_unique(ids, str(folder), lambda row: files[row].name)
    vertices, triangles = read_meshes(files, places)
    points = read_array(folder / POINTS) if (folder / POINTS).is_file() else None
    if points is not None:
        check_shape("points", points, {"N": len(ids)}, folder / POINTS, str(folder))
    predictions = Predictions(tuple(ids), vertices=vertices, triangles=triangles, points=points, where=str(folder))
    return checked(predictions, str(folder), [file.name for file in files])
