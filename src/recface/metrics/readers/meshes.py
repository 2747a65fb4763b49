"""Vertices and triangles of OBJ and PLY files, in the file's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.errors import RecfaceError

MESH_ENDINGS = (".obj", ".ply")


def read_mesh(path: Path, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one mesh.

    Args:
        path: OBJ or PLY.
        where: who names it, for messages, such as "ids.csv: line 3".

    Returns:
        (V, 3) float32 vertices as the file lists them, and (F, 3) int32 triangles.

    Raises:
        RecfaceError: No such file, another format, or no mesh.
    """
    if path.suffix.lower() not in MESH_ENDINGS:
        raise RecfaceError(f"{where}: {path.name} is no OBJ or PLY file")
    if not path.is_file():
        raise RecfaceError(f"{where}: {path}: no such file")
    try:
        vertices, triangles = (_read_obj if path.suffix.lower() == ".obj" else _read_ply)(path)
    except Exception as error:  # a mesh format fails in as many ways as there are parsers
        raise RecfaceError(f"{where}: {path}: not a readable mesh ({' '.join(str(error).split())[:80]})") from None
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or not len(vertices):
        raise RecfaceError(f"{where}: {path}: holds no vertices")
    return vertices, triangles


def _read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    mesh = trimesh.load(path, process=False)
    return np.asarray(mesh.vertices, np.float32), np.asarray(getattr(mesh, "faces", np.empty((0, 3))), np.int32)


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices as they are listed: trimesh splits them at texture seams and drops those without a face."""
    vertices, triangles = [], []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("v "):
            vertices.append(line.split()[1:4])
        elif line.startswith("f "):
            corners = [int(part.partition("/")[0]) for part in line.split()[1:]]
            corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
            triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    return np.array(vertices, np.float32), np.array(triangles, np.int32).reshape(-1, 3)


def read_meshes(paths: list[Path], places: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read meshes of one topology.

    Args:
        paths: N files.
        places: N names of their rows, for messages.

    Returns:
        (N, V, 3) float32 and the first one's (F, 3) triangles.

    Raises:
        RecfaceError: As `read_mesh`, or a file has another number of vertices than the first.
    """
    first, triangles = read_mesh(paths[0], places[0])
    vertices = np.empty((len(paths), *first.shape), np.float32)
    vertices[0] = first
    for row, (path, place) in enumerate(zip(paths[1:], places[1:], strict=True), start=1):
        mesh = read_mesh(path, place)[0]
        if mesh.shape != first.shape:
            raise RecfaceError(
                f"{place}: {path.name} has {len(mesh):,} vertices, {paths[0].name} has {len(first):,}; "
                "a method's predictions share one topology"
            )
        vertices[row] = mesh
    return vertices, triangles
