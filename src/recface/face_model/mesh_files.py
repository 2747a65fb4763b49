"""Meshes from files, in the file's own order of vertices, and a check that their size is in millimeters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError, one_line

MESH_ENDINGS = (".obj", ".ply", ".npz")
UNITS = {"meters": 1e3, "decimeters": 1e2, "centimeters": 1e1, "micrometers": 1e-3}
"""Units that meshes come in by mistake, with their factors to millimeters."""


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read vertices and triangles as the file lists them: masks and correspondences count the file's own vertices.

    Args:
        path: OBJ, PLY, or npz with `vertices` (V, 3) and, if there are any, `triangles` (F, 3) counted from 0.

    Returns:
        (V, 3) float64 and (F, 3) int64, or None where the file holds vertices alone.

    Raises:
        RecfaceError: The file is missing, has another format or cannot be read, or its triangles name missing vertices.
    """
    path = Path(path)
    if path.suffix.lower() not in MESH_ENDINGS:
        raise RecfaceError(f"{path}: a mesh must be one of {', '.join(MESH_ENDINGS)}")
    if not path.is_file():
        raise RecfaceError(f"{path}: no such file")
    readers = {".obj": _read_obj, ".ply": _read_ply, ".npz": _read_npz}
    try:
        vertices, triangles = readers[path.suffix.lower()](path)
        vertices = np.asarray(vertices, np.float64)
        triangles = None if triangles is None or not len(triangles) else np.asarray(triangles)
        if triangles is not None and (triangles.shape[1:] != (3,) or triangles.dtype.kind not in "iu"):
            raise ValueError(f"triangles are {triangles.dtype} {triangles.shape}, expected integers (F, 3)")
    except Exception as error:  # a mesh format fails in as many ways as there are parsers
        raise RecfaceError(f"{path}: not a readable mesh ({one_line(error, 80)})") from None
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or not len(vertices):
        raise RecfaceError(f"{path}: a mesh must hold vertices (V, 3)")
    if triangles is not None and not 0 <= triangles.min() <= triangles.max() < len(vertices):
        raise RecfaceError(f"{path}: triangles must name vertices of the file, which holds {len(vertices):,}")
    return vertices, None if triangles is None else triangles.astype(np.int64)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as stored:
        if "vertices" not in stored:
            raise ValueError(f"no array 'vertices', it has {', '.join(stored) or 'none'}")
        return stored["vertices"], stored.get("triangles")


def _read_ply(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import trimesh

    mesh: Any = trimesh.load(path, process=False)
    return mesh.vertices, getattr(mesh, "faces", None)


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices in the order of the file: trimesh splits them at texture seams and drops those without a face."""
    vertices, triangles = [], []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").split("\n"):
        kind, *values = line.partition("#")[0].split() or [""]
        if kind == "v":
            vertices.append(values[:3])
        elif kind == "f":
            corners = [int(value.partition("/")[0]) for value in values]
            corners = [corner + len(vertices) if corner < 0 else corner - 1 for corner in corners]
            triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    return np.array(vertices, np.float64), np.array(triangles, np.int64).reshape(-1, 3)


def obj_text(vertices: np.ndarray, triangles: np.ndarray) -> str:
    """Content of an OBJ file, from vertices (V, 3) in mm and triangles (F, 3) counted from 0; OBJ counts from 1."""
    points = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in np.asarray(vertices).tolist()]
    faces = [f"f {a} {b} {c}" for a, b, c in (np.asarray(triangles) + 1).tolist()]
    return "\n".join(("# millimeters", *points, *faces, ""))


def require_millimeters(size: float, smallest: float, largest: float, where: str) -> None:
    """Require a size that is plausible in millimeters (ours).

    A similarity alignment would hide a wrong unit; a metrical protocol would report it as an error of shape. Size and
    bounds are of the largest side, or of the diagonal; `where` is the file and row of the message.

    Raises:
        RecfaceError: The size is out of bounds.
    """
    if smallest <= size <= largest:
        return
    likely = [name for name, factor in UNITS.items() if smallest <= size * factor <= largest]
    guess = f": these look like {likely[0]}, multiply by {UNITS[likely[0]]:g}" if likely else ""
    raise RecfaceError(f"{where}: a face must measure {smallest:g} to {largest:g} mm, not {size:.4g}{guess}")


def diagonal(points: np.ndarray) -> float:
    """Length of the diagonal of the bounding box of (N, 3) points."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))
