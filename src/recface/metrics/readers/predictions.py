"""Predictions of any method, from files, checked and cut to a face region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recface.errors import RecfaceError, one_line
from recface.face_model.mesh_files import read_mesh, require_millimeters
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.protocols.scans import named
from recface.text_table import line_of, read_text_table
from recface.tracking.atomic import read_arrays, write_array, write_bytes

SMALLEST_MM, LARGEST_MM = 40.0, 1000.0
"""Limits for the diagonal of a shape's bounding box: a face's is about 250 mm, a head's about 400."""
CHUNK = 256
PREDICTED_ENDINGS = (".obj", ".ply")
"""File endings of single predicted and true shapes; an npz holds arrays of all samples."""
_REMEDY = "write it again (docs/protocols.md has the forms)"


def require_unique(ids: list[str], where: str, place: Callable[[int], str]) -> None:
    """Raise RecfaceError naming the second of two equal ids, and the row of the first.

    `where` is their file, and `place` turns a row into how a user finds it, such as "line 3".
    """
    if (twice := pd.Index(ids).duplicated()).any():
        row = int(twice.argmax())
        first = place(ids.index(ids[row]))
        raise RecfaceError(f"{where}: {place(row)}: id {ids[row]} is there twice (first in {first})")


SHAPES_FILE = "shapes.npz"


def read_shapes(folder: Path, names: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the shapes of the manifest's column `shape`, each once: (R, V, 3) in mm, and the row (N,) of each sample's.

    The names (N,) are OBJ or PLY files in the manifest's folder, or ids of rows of its shapes.npz (arrays `ids` and
    `vertices`).

    Raises:
        RecfaceError: A file or id is missing, or the shapes are not faces in mm of one topology.
    """
    if all(name.lower().endswith(PREDICTED_ENDINGS) for name in names):
        different = np.unique(names)
        vertices, _ = read_meshes([folder / name for name in different], [where] * len(different))
        found = _checked(Predictions(tuple(different), vertices=vertices), where, different.tolist())
    else:
        path = folder / SHAPES_FILE
        if not path.is_file():
            raise RecfaceError(
                f"{where}: shape {names[0]} must be an OBJ or PLY file, or an id in {path}, which does not exist"
            )
        found = _from_arrays(path, folder, read_arrays(path, remedy=_REMEDY))
        if found.vertices is None:
            raise RecfaceError(f"{path}: needs the arrays ids and vertices")
    rows = pd.Index(found.ids).get_indexer(names)
    if (absent := rows < 0).any():
        raise RecfaceError(f"{where}: shape {names[absent][0]} is not among the {len(found)} ids of {found.where}")
    return found.array("vertices"), rows


def read_meshes(paths: list[Path], places: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read OBJ or PLY files of one topology: (N, V, 3) float32, and the first one's (F, 3) int32 triangles.

    Raises RecfaceError where a file cannot be read, or has another number of vertices than the first. For messages,
    `places` are N names of the files' rows, such as "ids.csv: line 3".
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
            vertices[row] = mesh
    return vertices, np.empty((0, 3), np.int32) if triangles is None else triangles.astype(np.int32)


IDS = "ids.csv"
POINTS = "points.npy"
FIELD_SHAPES = {
    "parameters": ("N", "K"),
    "vertices": ("N", "V", 3),
    "points": ("N", "P", 3),
    "landmarks": ("N", 68, 2),
    "weights": ("K",),
    "triangles": ("F", 3),
}
PER_SAMPLE = tuple(name for name, shape in FIELD_SHAPES.items() if shape[0] == "N")


def read_predictions(path: str | Path) -> Predictions:
    """Read and check what a method predicted.

    Args:
        path: One of

            - a folder of OBJ or PLY files of one topology, with ids.csv (columns `id`, `file`); without it the files'
              names, less their endings, are the ids; a points.npy beside them (N, P, 3) mm is in the order of the ids;
            - a folder with predictions.npz, or with NAME.npy files (memory-mapped), whose arrays are any of parameters
              (N, K), vertices (N, V, 3) mm, points (N, P, 3) mm, landmarks (N, 68, 2) px, and, shared by all, weights
              (K,) mm and triangles (F, 3); the ids are the array `ids` (N,), or the column `id` of ids.csv in order;
            - such an npz alone.

    Raises:
        RecfaceError: Nothing to read, a wrong shape, an id twice, NaN, differing vertex counts, shapes not in mm.
    """
    path = Path(path)
    if not path.exists():
        raise RecfaceError(f"{path}: no such file or folder")
    if path.is_file():
        return _from_arrays(path, path.parent, read_arrays(path, remedy=_REMEDY))
    if (packed := path / "predictions.npz").is_file():
        return _from_arrays(packed, path, read_arrays(packed, remedy=_REMEDY))
    names = [name for name in FIELD_SHAPES if (path / f"{name}.npy").is_file()]
    if names and not any(file.suffix.lower() in PREDICTED_ENDINGS for file in path.iterdir()):
        return _from_arrays(path, path, {name: _map(path / f"{name}.npy") for name in names})
    return _from_meshes(path)


def write_predictions(folder: Path, table: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, named as in `FIELD_SHAPES`, and ids.csv as `read_predictions` reads them.

    The table has N rows with the column `id`, and others that help a reader.
    """
    for name, array in arrays.items():
        write_array(folder / f"{name}.npy", array)
    write_bytes(folder / IDS, table.to_csv(index=False, lineterminator="\n").encode())


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecfaceError(f"{path}: not a readable npy ({one_line(error, 80)}); {_REMEDY}") from None


def unique_ids(table: pd.DataFrame, path: Path) -> list[str]:
    """The column `id` of a file's table; raises RecfaceError for an id that is there twice."""
    ids: list[str] = table["id"].tolist()
    require_unique(ids, str(path), lambda row: f"line {line_of(table, row)}")
    return ids


def _from_arrays(file: Path, folder: Path, arrays: dict[str, np.ndarray]) -> Predictions:
    found = {name: arrays[name] for name in FIELD_SHAPES if name in arrays}
    if not set(found) & set(PER_SAMPLE):
        own = " (the predictions of a run: give the run's folder)" if "test_parameters" in arrays else ""
        raise RecfaceError(f"{file}: holds none of {', '.join(PER_SAMPLE)}{own}")
    if "ids" in arrays:
        ids, source = arrays["ids"].astype(str).tolist(), str(file)
        require_unique(ids, source, lambda row: f"row {row}")
    else:
        if not (folder / IDS).is_file():
            raise RecfaceError(f"{file}: no array ids, and no {folder / IDS} with a column id")
        ids, source = unique_ids(read_text_table(folder / IDS, ("id",)), folder / IDS), str(folder / IDS)
    sizes: dict[str, int] = {"N": len(ids)}
    for name, array in found.items():
        _check_shape(name, array, sizes, file, source)
    return _checked(Predictions(tuple(ids), **found, where=str(file)), str(file))


def _check_shape(name: str, array: np.ndarray, sizes: dict[str, int], file: Path, ids: str) -> None:
    """Compare a shape with FIELD_SHAPES; the first array that has a size fixes it for the others."""
    expected = FIELD_SHAPES[name]
    form = str(expected).replace("'", "")
    if array.dtype.kind not in "fiu" or array.ndim != len(expected):
        raise RecfaceError(f"{file}: {name} is {array.dtype} {array.shape}, expected numbers {form}")
    for size, axis in zip(array.shape, expected, strict=True):
        wanted = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != wanted:
            why = f": {ids} has {sizes['N']} ids" if axis == "N" else ""
            raise RecfaceError(f"{file}: {name} has shape {array.shape}, expected {form}{why}")


def _from_meshes(folder: Path) -> Predictions:
    if (folder / IDS).is_file():
        table = read_text_table(folder / IDS, ("id", "file"))
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
        for start in range(0, 0 if values is None else len(values), CHUNK):
            chunk = np.asarray(values[start : start + CHUNK])
            bad = np.flatnonzero(~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1))
            if bad.size:
                row = start + int(bad[0])
                raise RecfaceError(f"{where}: {place(row)}: {name} hold NaN or infinity; predict it again")
            if name == "vertices":
                sizes = np.linalg.norm(np.ptp(chunk.astype(np.float64), axis=1), axis=-1)
                for row, size in enumerate(sizes.tolist(), start):
                    require_millimeters(size, SMALLEST_MM, LARGEST_MM, f"{where}: {place(row)}")
    weights = predictions.weights
    if weights is not None and not (np.isfinite(weights).all() and weights.min() > 0):
        raise RecfaceError(f"{where}: weights hold values that are not above 0")
    return predictions


@dataclass(frozen=True)
class Region:
    """Face region of a face model: its (V,) bool mask with M true, and of these the (M, 3) mean in mm.

    The basis (M, 3, K) takes whitened parameters to mm; sigma (K,) are their standard deviations in mm.
    """

    name: str
    mask: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


def read_region(name: str, path: str | Path | None = None) -> Region:
    """Cut the face region of a face model; without such a model or its data, `get` raises RecfaceError."""
    from recface.face_model import get
    from recface.metrics.evaluation import masked_basis

    model = get(name, path)
    basis = masked_basis(model.identity_basis, model.identity_sigma, model.face_mask)
    mask = model.face_mask.numpy()
    return Region(name, mask, basis.numpy(), model.mean.numpy()[mask], model.identity_sigma.numpy())


def with_region(predictions: Predictions, region: Region) -> Predictions:
    """Cut vertices to the face region; give whitened parameters of the face model a basis in place of vertices.

    The face model's sigmas become the weights of predictions that have none. Raises RecfaceError where the number of
    vertices or parameters is not the face model's.
    """
    count, modes = len(region.mask), len(region.sigma)
    changes: dict[str, Any] = {}
    first = f"{predictions.where}: row 0 (id {predictions.ids[0]})"
    if predictions.vertices is not None:
        if predictions.vertices.shape[1] != count:
            raise RecfaceError(
                f"{first}: {predictions.vertices.shape[1]:,} vertices, the face model {region.name} has {count:,}; "
                "leave out --face-model to measure all vertices"
            )
        changes |= {"vertices": predictions.vertices[:, region.mask], "region": region.mask}
    if predictions.parameters is not None and predictions.parameters.shape[1] == modes:
        changes |= {"basis": region.basis, "mean": region.mean, "region": region.mask}
        if predictions.weights is None:
            changes["weights"] = region.sigma
    elif predictions.vertices is None and predictions.parameters is not None:
        found = predictions.parameters.shape[1]
        raise RecfaceError(f"{first}: {found} parameters, the face model {region.name} has {modes}")
    return replace(predictions, **changes)
