"""Scans from a folder of meshes in one topology, and a CSV that names their people."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from recface.data.scans.scan_set import ScanSet
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.mesh_files import read_mesh, require_millimetres
from recface.text_table import read_text_table

CSV = "scans.csv"
COLUMNS = ("file", "identity")
SMALLEST_MM, LARGEST_MM = 50.0, 1000.0  # of a face or head, from end to end


class MappedScans(ScanSet):
    """Scans in a memory-mapped array, so that more of them fit than memory holds.

    Args:
        vertices: (N, V, 3) float32 in mm, usually memory-mapped.
        identity: (N,) person of each.
    """

    def __init__(self, vertices: np.ndarray, identity: np.ndarray) -> None:
        self.vertices, self.identity = vertices, np.asarray(identity, np.int64)
        self.num_vertices = vertices.shape[1]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.vertices[rows], np.float32)


def folder_scans(model: FaceModel, folder: str | Path | None, cache: Path) -> MappedScans:
    """Read a folder of meshes once, and keep them as a memory-mapped array in the cache.

    Args:
        model: Face model whose topology the meshes have; it gives triangles, landmarks and mirror.
        folder: Holds `scans.csv` with the columns file and identity, and the meshes (OBJ, PLY, or npz with `vertices`)
            that it names.
        cache: Folder for the array; a change of any file makes another.

    Returns:
        The scans, in the order of the CSV.

    Raises:
        RecfaceError: A file or column is missing; a mesh has another topology, NaN vertices, or a unit that is plainly
            not the millimetre. In one line that names the file.
    """
    if folder is None:
        raise RecfaceError("sfm.scan.path: source 'folder' needs the folder with scans.csv; set sfm.scan.path")
    folder = Path(folder)
    table = read_text_table(folder / CSV, COLUMNS, "a folder of scans")
    paths = [folder / name for name in table["file"]]
    digest = hashlib.sha256(model.checksum.encode())
    for path, name in zip(paths, table["file"], strict=True):
        if not path.is_file():
            raise RecfaceError(f"{folder / CSV}: {name} does not exist; correct the column file")
        digest.update(f"{name}{path.stat().st_size}{path.stat().st_mtime_ns}".encode())
    packed = cache / "scans" / f"{digest.hexdigest()[:16]}.npy"
    packed.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(packed.with_suffix(".lock")):
        if not packed.exists():
            _pack(paths, model, packed)
    _, identity = np.unique(table["identity"].to_numpy(str), return_inverse=True)
    return MappedScans(np.load(packed, mmap_mode="r"), identity)


def _pack(paths: list[Path], model: FaceModel, target: Path) -> None:
    part = target.with_suffix(".part.npy")
    shape = (len(paths), model.num_vertices, 3)
    packed = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
    triangles = model.arrays()["triangles"]
    for row, path in enumerate(paths):
        packed[row] = check_mesh(*read_mesh(path), model.num_vertices, triangles, path)
    packed.flush()
    del packed
    os.replace(part, target)


def check_mesh(
    vertices: np.ndarray, triangles: np.ndarray | None, count: int, expected: np.ndarray, path: Path
) -> np.ndarray:
    """Check one mesh against the topology of the face model.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) or None.
        count: Vertices it must have.
        expected: (F, 3) triangles it must have, if it has any.
        path: File, for messages.

    Returns:
        The vertices.

    Raises:
        RecfaceError: Another topology, numbers that are not finite, or a size no face has in mm.
    """
    if vertices.ndim != 2 or vertices.shape != (count, 3):
        raise RecfaceError(
            f"{path}: {vertices.shape[0]} vertices, the face model has {count}; scans need the topology of face_model"
        )
    if triangles is not None and (triangles.shape != expected.shape or (triangles != expected).any()):
        raise RecfaceError(f"{path}: other triangles than the face model's; scans need the topology of face_model")
    broken = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(broken):
        raise RecfaceError(f"{path}: vertex {broken[0]} is not finite ({len(broken)} such); fill holes or leave it out")
    require_millimetres(float(np.ptp(vertices, axis=0).max()), SMALLEST_MM, LARGEST_MM, str(path))
    return vertices
