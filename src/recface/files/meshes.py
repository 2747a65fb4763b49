"""Meshes from files, in the file's own order of vertices, and a check that their size is in millimeters.

Masks, landmarks and correspondences count the file's own vertices, so nothing here is merged, split or reordered, as
mesh libraries do at texture seams; and a file's header is not believed beyond the file's size.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.arrays import read_arrays
from recface.files.atomic import write_bytes
from recface.files.guard import guarded
from recface.files.ply import read_ply

MESH_ENDINGS = (".obj", ".ply", ".npz")
UNITS = {"meters": 1e3, "decimeters": 1e2, "centimeters": 1e1, "micrometers": 1e-3}
"""Units that meshes come in by mistake, with their factors to millimeters."""
LARGEST_BYTES = 2_000_000_000
_REMEDY = "export it again as OBJ or PLY"


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read vertices and triangles as the file lists them; polygons become fans of triangles.

    Args:
        path: OBJ, PLY, or npz with `vertices` (V, 3) and, if there are any, `triangles` (F, 3) counted from 0.

    Returns:
        (V, 3) float64 and (F, 3) int64, or None where the file holds vertices alone.

    Raises:
        RecfaceError: The file is missing, has another format or cannot be read, or its triangles name missing vertices.
    """
    path = Path(path)
    readers = {".obj": _read_obj, ".ply": read_ply, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise RecfaceError(f"{path}: a mesh must be one of {', '.join(MESH_ENDINGS)}")
    with guarded(path, "mesh", _REMEDY, LARGEST_BYTES):
        vertices, triangles = readers[path.suffix.lower()](path)
        vertices = np.asarray(vertices, np.float64)
        if triangles is not None and (
            triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu"
        ):
            raise ValueError(f"triangles are {triangles.dtype} {triangles.shape}, expected integers (F, 3)")
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or not len(vertices):
        raise RecfaceError(f"{path}: a mesh must hold vertices (V, 3)")
    if triangles is None or not len(triangles):
        return vertices, None
    if not 0 <= triangles.min() <= triangles.max() < len(vertices):
        raise RecfaceError(f"{path}: triangles must name vertices of the file, which holds {len(vertices):,}")
    return vertices, triangles.astype(np.int64)


def require_same_triangles(first: np.ndarray | None, other: np.ndarray | None, names: tuple[str, str]) -> None:
    """Require that two meshes with equally many vertices have the same triangles, so that their vertices correspond.

    Raises:
        RecfaceError: The first triangle that differs; `names` are those of the two files.
    """
    empty = np.empty((0, 3), np.int64)
    a, b = (empty if triangles is None else triangles for triangles in (first, other))
    shared = min(len(a), len(b))
    different = np.flatnonzero((a[:shared] != b[:shared]).any(axis=1))
    if len(different) or len(a) != len(b):
        row = int(different[0]) if len(different) else shared
        one, two = (str(part[row].tolist()) if row < len(part) else "none" for part in (a, b))
        raise RecfaceError(
            f"{names[1]}: triangle {row} is {two}, that of {names[0]} is {one}: "
            "vertices of one number must be one point; export all with one topology"
        )


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    stored = read_arrays(path, remedy=_REMEDY)
    if "vertices" not in stored:
        raise ValueError(f"no array 'vertices', it has {', '.join(stored) or 'none'}")
    if stored["vertices"].dtype.kind not in "fiu":
        raise ValueError(f"vertices are {stored['vertices'].dtype}, expected numbers")
    return stored["vertices"], stored.get("triangles")


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Lines v and f; a backslash continues a line, a `#` begins a comment."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16 text: save it as UTF-8")
    vertices: list[list[str]] = []
    triangles: list[tuple[int, int, int]] = []
    text = re.sub(r"#[^\n]*", "", data.decode("utf-8-sig", "replace"))  # first: a comment may end in a backslash
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").split("\n"):
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append(values[:3])
        elif kind == "f":
            corners = [int(value.partition("/")[0]) for value in values]
            corners = [corner + len(vertices) if corner < 0 else corner - 1 for corner in corners]
            triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
        elif kind in ("V", "F"):
            raise ValueError(f"keyword {kind} in a capital letter: OBJ's are v and f")
    points = np.array(vertices, np.float64) if vertices else np.empty((0, 3))
    return points, np.array(triangles, np.int64).reshape(-1, 3)


def obj_text(vertices: np.ndarray, triangles: np.ndarray) -> str:
    """Content of an OBJ file, from vertices (V, 3) in mm and triangles (F, 3) counted from 0; OBJ counts from 1."""
    values = tuple(np.asarray(vertices, np.float64).ravel().tolist())
    corners = np.asarray(triangles, np.int64).tobytes()
    return "# millimeters\n" + "v %.5f %.5f %.5f\n" * (len(values) // 3) % values + _face_lines(corners)


@functools.lru_cache(maxsize=1)  # the same for many meshes, and two thirds of the text
def _face_lines(corners: bytes) -> str:
    numbers = tuple((np.frombuffer(corners, np.int64) + 1).tolist())
    return "f %d %d %d\n" * (len(numbers) // 3) % numbers


def write_glb(path: str | Path, vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray) -> None:
    """Write a mesh with colored vertices as binary glTF, in meters as its specification wants.

    Args:
        path: Such as face.glb.
        vertices: (V, 3) in mm.
        triangles: (F, 3).
        colors: (V, 3) in 0..1 as a screen shows them (sRGB); glTF stores them linear.
    """
    from trimesh import Trimesh

    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    shades = np.rint(255 * np.pad(linear, ((0, 0), (0, 1)), constant_values=1.0)).astype(np.uint8)
    mesh = Trimesh(np.asarray(vertices) / 1000, triangles, vertex_colors=shades, process=False)
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)  # as for every binary format
    write_bytes(path, data)


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
