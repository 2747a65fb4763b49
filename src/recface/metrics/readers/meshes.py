"""Shapes given as meshes, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError, named
from recface.files.meshes import read_mesh, require_same_triangles
from recface.files.tables import line_of, read_table
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.checks import check_shape, checked, require_unique, unique_ids

PREDICTED_ENDINGS = (".obj", ".ply")
"""File endings of single predicted and true shapes; an npz holds arrays of all samples."""
IDS = "ids.csv"
POINTS = (".npy", ".txt")
"""Endings of the points that lie beside a mesh."""


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


def points_beside(files: list[Path]) -> np.ndarray | None:
    """(N, P, 3) named points that lie beside N meshes under their names; None where no mesh has some.

    Raises RecfaceError where a mesh has none, or another number than the first.
    """
    from recface.metrics.scan.files import read_points

    found = [next((p for ending in POINTS if (p := file.with_suffix(ending)).is_file()), None) for file in files]
    if not any(found):
        return None
    points: list[np.ndarray] = []
    for file, path in zip(files, found, strict=True):
        if path is None:
            raise RecfaceError(f"{file}: no {file.stem}.npy or .txt with its points beside it, as other meshes have")
        points.append(read_points(path))
        if len(points[-1]) != len(points[0]):
            raise RecfaceError(f"{path}: {len(points[-1])} points, but {len(points[0])} in {found[0]}")
    return np.stack(points)


def mesh_predictions(folder: Path, arrays: Mapping[str, np.ndarray], millimeters: float) -> Predictions:
    """A folder of OBJ or PLY files, and arrays beside them; see `read_predictions`."""
    if (folder / IDS).is_file():
        table = read_table(folder / IDS, ("id", "file"))
        ids, files = unique_ids(table, folder / IDS), [folder / name for name in table["file"]]
        places = [f"{folder / IDS}: line {line_of(table, row)}" for row in range(len(ids))]
    else:
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PREDICTED_ENDINGS)
        ids = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
        places = [str(folder)] * len(files)
        if not files:
            raise RecfaceError(
                f"{folder}: no predictions.npz, no npy files, and no OBJ or PLY files (docs/protocols.md)"
            )
        require_unique(ids, str(folder), lambda row: files[row].name)
    vertices, triangles = read_meshes(files, places)
    found = {name: array for name, array in arrays.items() if name not in ("vertices", "triangles")}
    for name, array in found.items():
        check_shape(name, array, {"N": len(ids)}, folder / f"{name}.npy", str(folder))
    if "points" not in found and (points := points_beside(files)) is not None:
        found["points"] = points
    predictions = Predictions(tuple(ids), vertices=vertices, triangles=triangles, **found, where=str(folder))
    return checked(predictions, str(folder), [file.name for file in files], millimeters)
