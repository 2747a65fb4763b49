"""Scans, their landmarks and their regions, from files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.files.arrays import read_array
from recface.files.guard import guarded
from recface.files.meshes import LARGEST_BYTES, diagonal, read_mesh, require_millimeters
from recface.files.tables import line_of, read_table

LARGEST_LIST = 10_000_000  # bytes of a text file with points
SMALLEST_MM, LARGEST_MM = 60.0, 3000.0
"""Diagonals of the boxes round a face crop and round a bust with shoulders, with room to spare; ours."""


def require_points(points: np.ndarray, name: str) -> np.ndarray:
    """The points as float64.

    Raises:
        RecfaceError: Unless they are (N, 3), at least one, and finite; the first bad row is named.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise RecfaceError(f"{name} have shape {points.shape}, expected (N, 3) with N at least 1")
    points = points.astype(np.float64, copy=False)
    if not np.isfinite(points).all():
        rows = (~np.isfinite(points)).any(axis=1)
        raise RecfaceError(
            f"{name}: row {int(rows.argmax())} of {len(points)} is not finite ({int(rows.sum())} such rows); "
            "remove or mend them"
        )
    return points


def require_face(points: np.ndarray, name: str) -> None:
    """Raise RecfaceError where the diagonal of (N, 3) points is not that of a face, head or bust in millimeters."""
    require_millimeters(diagonal(points), SMALLEST_MM, LARGEST_MM, name)


@dataclass(frozen=True)
class Scan:
    """A raw scan or a registered mesh."""

    vertices: np.ndarray  # (N, 3) float64, mm
    triangles: np.ndarray | None = None  # (F, 3), or None for a point cloud


def read_scan(path: Path) -> Scan:
    """Reads vertices and triangles in the order of the file.

    The file is `.npz` with `vertices` (N, 3) and, if there are any, `triangles` (F, 3) counted from 0; `.obj`; `.ply`.

    Raises:
        RecfaceError: For a missing or unreadable file, no vertices, values that are not finite, or another unit
            than millimeters.
    """
    path = Path(path)
    vertices, triangles = read_mesh(path)
    vertices = require_points(vertices, f"{path}: vertices")
    require_face(vertices, str(path))
    return Scan(vertices, triangles)


def read_points(path: Path) -> np.ndarray:
    """Reads points (N, 3) in their order, from `.npy`, or from `.txt` with three numbers a line.

    Raises:
        RecfaceError: For a missing or unreadable file, or points that are not finite.
    """
    if path.suffix.lower() == ".npy":
        return require_points(read_array(path), f"{path}: points")
    with guarded(path, "list of points", "give three numbers a line", LARGEST_LIST):
        points = np.loadtxt(path, np.float64, ndmin=2)
    return require_points(points, f"{path}: points")


def read_picked(path: Path) -> tuple[list[str], np.ndarray]:
    """Reads MeshLab's picked points, `.pp`: their names, and (N, 3) in their order.

    Raises:
        RecfaceError: For a missing or unreadable file, no points, or points that are not finite.
    """
    with guarded(path, "file of picked points", "save it from MeshLab again", LARGEST_LIST):
        tags = re.findall(r"<point\b[^>]*>", path.read_text("utf-8"))
        found = [dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', tag)) for tag in tags]
        points = np.array([[float(point[axis]) for axis in "xyz"] for point in found]).reshape(-1, 3)
    return [point.get("name", "") for point in found], require_points(points, f"{path}: points")


def read_landmarks(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """Reads named points (N, 3), in the order of the N names.

    Args:
        path: A CSV with columns name, x, y, z in mm, in the frame of the scan; more names than asked for are fine. Or
            MeshLab's `.pp`, whose points have these names, or are N in this order; or N in this order as `read_points`.
        names: The landmarks to take.

    Raises:
        RecfaceError: For a missing or unreadable file, a missing, doubled or not finite landmark; its name and row are
            given.
    """
    if (ending := path.suffix.lower()) in (".pp", ".npy", ".txt"):
        labels, points = read_picked(path) if ending == ".pp" else ([], read_points(path))
        if set(names) <= set(labels):
            return points[[labels.index(name) for name in names]]
        if len(points) != len(names):
            raise RecfaceError(f"{path}: {len(points)} points, expected {len(names)}: {', '.join(names)}")
        return points
    table = read_table(path, ("name", "x", "y", "z"), "a file of landmarks")
    if (twice := table["name"].duplicated().to_numpy()).any():
        row = int(twice.argmax())
        raise RecfaceError(
            f"{path}: line {line_of(table, row)}: landmark {table['name'].iloc[row]} is there twice; keep one"
        )
    if absent := [name for name in names if name not in set(table["name"])]:
        raise RecfaceError(f"{path}: landmark {absent[0]} is missing; the protocol needs {', '.join(names)}")
    row_of = {name: row for row, name in enumerate(table["name"])}
    chosen = table.iloc[[row_of[name] for name in names]]
    points = chosen[["x", "y", "z"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).argmax())
        raise RecfaceError(f"{path}: line {line_of(chosen, bad)}: landmark {names[bad]} is not finite; measure it")
    return points


def read_numbers(path: Path) -> np.ndarray:
    """Reads an array from `.npy`, or (N,) integers, one a line, from `.txt`.

    Raises:
        RecfaceError: For a missing or unreadable file.
    """
    if path.suffix != ".txt":
        return read_array(path)
    with guarded(path, "list", "give vertex numbers, one a line", LARGEST_BYTES):
        numbers = np.loadtxt(path, np.int64, ndmin=1)
    return numbers


def read_rows(path: Path, count: int) -> np.ndarray:
    """Reads which of a scan's `count` vertices a region holds: (R,) int64 vertex numbers, ascending.

    The file is `.npy` with (count,) booleans or with vertex numbers, or `.txt` with vertex numbers, counted from 0.

    Raises:
        RecfaceError: For a missing or unreadable file, a mask of another length, an unknown vertex, or an empty region.
    """
    values = read_numbers(path)
    if values.ndim != 1 or values.dtype.kind not in "biu":
        raise RecfaceError(f"{path}: holds {values.dtype} {values.shape}; expected booleans or integers in one row")
    if values.dtype == bool:
        if len(values) != count:
            raise RecfaceError(f"{path}: a mask of {len(values)} vertices for a scan of {count}; make it for this scan")
        values = np.flatnonzero(values)
    elif len(values) and (values.min() < 0 or values.max() >= count):
        row = int(((values < 0) | (values >= count)).argmax())
        raise RecfaceError(f"{path}, row {row + 1}: vertex {values[row]} of a scan of {count}; count from 0")
    if not len(values):
        raise RecfaceError(f"{path}: the region is empty; give at least one vertex")
    return np.unique(values).astype(np.int64)
