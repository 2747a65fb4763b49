"""Prediction folders: arrays of one method, or meshes, with the ids of what was predicted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.metrics.protocols.base import Predictions
from recface.metrics.readers.checks import require_finite_rows, require_shapes_in_mm, require_unique
from recface.metrics.readers.meshes import MESH_ENDINGS, read_meshes
from recface.text_table import line_of, read_text_table

IDS = "ids.csv"
POINTS = "points.npy"
PER_SAMPLE = ("parameters", "vertices", "points", "landmarks")
SHARED = ("weights", "triangles")
SHAPES = {
    "parameters": ("N", "K"),
    "vertices": ("N", "V", 3),
    "points": ("N", "P", 3),
    "landmarks": ("N", 68, 2),
    "weights": ("K",),
    "triangles": ("F", 3),
}


def read_predictions(path: str | Path) -> Predictions:
    """Read what a method predicted.

    Args:
        path: One of

            - a folder of OBJ or PLY files of one topology, with ids.csv (columns `id`, `file`); without it the files'
              names, less their endings, are the ids; a points.npy beside them (N, P, 3) mm is in the order of the ids;
            - a folder with predictions.npz, or with NAME.npy files (memory-mapped), whose arrays are any of parameters
              (N, K), vertices (N, V, 3) mm, points (N, P, 3) mm, landmarks (N, 68, 2) px, and, shared by all, weights
              (K,) mm and triangles (F, 3); the ids are the array `ids` (N,), or the column `id` of ids.csv in order;
            - such an npz alone.

    Returns:
        The predictions, checked.

    Raises:
        RecfaceError: Nothing to read, a wrong shape, an id twice, NaN, differing vertex counts, shapes not in mm.
    """
    path = Path(path)
    if not path.exists():
        raise RecfaceError(f"--predictions {path}: no such file or folder")
    if path.is_file():
        return _from_arrays(path, path.parent, _load(path))
    if (packed := path / "predictions.npz").is_file():
        return _from_arrays(packed, path, _load(packed))
    names = [name for name in (*PER_SAMPLE, *SHARED) if (path / f"{name}.npy").is_file()]
    if names and not any(file.suffix.lower() in MESH_ENDINGS for file in path.iterdir()):
        return _from_arrays(path, path, {name: _map(path / f"{name}.npy") for name in names})
    return _from_meshes(path)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise RecfaceError(f"{path}: not a readable npz ({' '.join(str(error).split())[:80]})") from None


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecfaceError(f"{path}: not a readable npy ({' '.join(str(error).split())[:80]})") from None


def _ids_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = read_text_table(path, columns)
    require_unique(table["id"].tolist(), str(path), lambda row: f"line {line_of(table, row)}")
    return table


def _from_arrays(file: Path, folder: Path, arrays: dict[str, np.ndarray]) -> Predictions:
    found = {name: arrays[name] for name in (*PER_SAMPLE, *SHARED) if name in arrays}
    if not set(found) & set(PER_SAMPLE):
        own = " (the predictions of a run: give the run's folder)" if "test_parameters" in arrays else ""
        raise RecfaceError(f"{file}: holds none of {', '.join(PER_SAMPLE)}{own}")
    if "ids" in arrays:
        ids, source = arrays["ids"].astype(str).tolist(), str(file)
        require_unique(ids, source, lambda row: f"row {row}")
    else:
        if not (folder / IDS).is_file():
            raise RecfaceError(f"{file}: no array ids, and no {folder / IDS} with a column id")
        ids, source = _ids_csv(folder / IDS, ("id",))["id"].tolist(), str(folder / IDS)
    sizes: dict[str, int] = {"N": len(ids)}
    for name, array in found.items():
        _check_shape(name, array, sizes, file, source)
    return _checked(Predictions(tuple(ids), **found, where=str(file)), str(file))


def _check_shape(name: str, array: np.ndarray, sizes: dict[str, int], file: Path, ids: str) -> None:
    """Compare a shape with SHAPES; the first array that has a size fixes it for the others."""
    expected = SHAPES[name]
    if array.dtype.kind not in "fiu" or array.ndim != len(expected):
        raise RecfaceError(f"{file}: {name} is {array.dtype} {array.shape}, expected numbers ({_form(expected)})")
    for size, axis in zip(array.shape, expected, strict=True):
        wanted = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != wanted:
            why = f": {ids} has {sizes['N']} ids" if axis == "N" else ""
            raise RecfaceError(f"{file}: {name} has shape {array.shape}, expected ({_form(expected)}){why}")


def _form(expected: tuple[str | int, ...]) -> str:
    return ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")


def _from_meshes(folder: Path) -> Predictions:
    if (folder / IDS).is_file():
        table = _ids_csv(folder / IDS, ("id", "file"))
        ids, files = table["id"].tolist(), [folder / name for name in table["file"]]
        places = [f"{folder / IDS}: line {line_of(table, row)}" for row in range(len(ids))]
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in MESH_ENDINGS)
        ids, places = [file.stem for file in files], [str(folder)] * len(files)
        if not files:
            raise RecfaceError(
                f"--predictions {folder}: no predictions.npz, no npy files, and no OBJ or PLY files (docs/protocols.md)"
            )
        require_unique(ids, str(folder), lambda row: files[row].name)
    vertices, triangles = read_meshes(files, places)
    points = _map(folder / POINTS) if (folder / POINTS).is_file() else None
    if points is not None:
        _check_shape("points", points, {"N": len(ids)}, folder / POINTS, str(folder))
    predictions = Predictions(tuple(ids), vertices=vertices, triangles=triangles, points=points, where=str(folder))
    return _checked(predictions, str(folder), [file.name for file in files])


def _checked(predictions: Predictions, where: str, files: list[str] | None = None) -> Predictions:
    def place(row: int) -> str:
        return files[row] if files else f"row {row} (id {predictions.ids[row]})"

    for name in PER_SAMPLE:
        values = getattr(predictions, name)
        if values is not None:
            require_finite_rows(name, values, where, place)
    if predictions.weights is not None and not (
        np.isfinite(predictions.weights).all() and predictions.weights.min() > 0
    ):
        raise RecfaceError(f"{where}: weights hold values that are not above 0")
    if predictions.vertices is not None:
        require_shapes_in_mm(predictions.vertices, where, place)
    return predictions
