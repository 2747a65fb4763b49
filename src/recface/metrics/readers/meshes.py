"""Meshes of one topology, many at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.mesh_files import read_mesh

MESH_ENDINGS = (".obj", ".ply")
"""Of predictions and true shapes; an npz holds arrays of all samples."""


def read_meshes(paths: list[Path], places: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read meshes of one topology.

    Args:
        paths: N files, OBJ or PLY.
        places: N names of their rows, for messages, such as "ids.csv: line 3".

    Returns:
        (N, V, 3) float32 and the first one's (F, 3) int32 triangles.

    Raises:
        RecfaceError: A file cannot be read, or has another number of vertices than the first.
    """
    first, triangles = _read(paths[0], places[0])
    vertices = np.empty((len(paths), *first.shape), np.float32)
    vertices[0] = first
    for row, (path, place) in enumerate(zip(paths[1:], places[1:], strict=True), start=1):
        mesh = _read(path, place)[0]
        if mesh.shape != first.shape:
            raise RecfaceError(
                f"{place}: {path.name} has {len(mesh):,} vertices, {paths[0].name} has {len(first):,}; "
                "a method's predictions share one topology"
            )
        vertices[row] = mesh
    return vertices, np.empty((0, 3), np.int32) if triangles is None else triangles.astype(np.int32)


def _read(path: Path, place: str) -> tuple[np.ndarray, np.ndarray | None]:
    if path.suffix.lower() not in MESH_ENDINGS:
        raise RecfaceError(f"{place}: {path.name} is no OBJ or PLY file")
    try:
        return read_mesh(path)
    except RecfaceError as error:
        raise RecfaceError(f"{place}: {error}") from None
