"""True shapes that a manifest names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.readers.checks import require_finite_rows, require_shapes_in_mm, require_unique
from recface.metrics.readers.meshes import MESH_ENDINGS, read_meshes

SHAPES = "shapes.npz"


def read_shapes(folder: Path, names: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the shapes of the manifest's column `shape`, each once.

    Args:
        folder: The manifest's folder.
        names: (N,) OBJ or PLY files in it; or ids of rows of its shapes.npz (arrays `ids` and `vertices`).
        where: The manifest, for messages.

    Returns:
        (R, V, 3) shapes in mm, and the row (N,) of each sample's.

    Raises:
        RecfaceError: A file or id is missing, or the shapes are no faces in mm of one topology.
    """
    different, row = np.unique(names, return_inverse=True)
    if all(name.lower().endswith(MESH_ENDINGS) for name in different):
        vertices, _ = read_meshes([folder / name for name in different], [where] * len(different))
        source, found = where, different
    else:
        path = folder / SHAPES
        if not path.is_file():
            raise RecfaceError(f"{where}: shape {different[0]} is no OBJ or PLY file, and there is no {path}")
        with np.load(path, allow_pickle=False) as stored:
            if not {"ids", "vertices"} <= set(stored.files):
                raise RecfaceError(f"{path}: needs the arrays ids and vertices; it has {', '.join(stored.files)}")
            found, vertices = stored["ids"].astype(str), stored["vertices"]
        if vertices.ndim != 3 or vertices.shape[2] != 3 or len(vertices) != len(found):
            raise RecfaceError(f"{path}: vertices have shape {vertices.shape}, expected ({len(found)}, V, 3)")
        require_unique(found.tolist(), str(path), lambda r: f"row {r}")
        index = {name: r for r, name in enumerate(found)}
        if absent := [name for name in different if name not in index]:
            raise RecfaceError(f"{where}: shape {absent[0]} is not among the {len(found)} ids of {path}")
        row = np.array([index[name] for name in different])[row]
        source = str(path)
    require_finite_rows("vertices", vertices, source, lambda r: f"shape {found[r]}")
    require_shapes_in_mm(vertices, source, lambda r: f"shape {found[r]}")
    return vertices, row
