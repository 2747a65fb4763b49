"""Predictions of any method, and true shapes, from files, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.files.arrays import read_array, read_arrays
from recface.files.atomic import write_array, write_bytes
from recface.files.tables import read_table
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.checks import (
    FIELD_SHAPES,
    PER_SAMPLE,
    REMEDY,
    check_shape,
    checked,
    require_unique,
    unique_ids,
)
from recface.metrics.readers.meshes import IDS, PREDICTED_ENDINGS, mesh_predictions, read_meshes

SHAPES_FILE = "shapes.npz"


def read_predictions(path: str | Path, millimeters: float = 1.0) -> Predictions:
    """Read and check what a method predicted.

    Args:
        path: One of

            - a folder of OBJ or PLY files of one topology, also in folders of it, with ids.csv (columns `id`, `file`);
              without it the ids are their paths in the folder, less the endings; named points (P, 3) lie beside each
              mesh under its name, as .npy or .txt, or in one points.npy (N, P, 3) in the order of the ids, as may
              other arrays that are not `vertices`;
            - a folder with predictions.npz, or with NAME.npy files (memory-mapped), whose arrays are any of parameters
              and mirrored (N, K), vertices (N, V, 3) mm, points (N, P, 3) mm, landmarks (N, 68, 2) px, and, shared by
              all, weights (K,) mm and triangles (F, 3); the ids are the array `ids` (N,), or the column `id` of ids.csv
              in order;
            - such an npz alone.
        millimeters: In a unit of theirs.

    Raises:
        RecfaceError: Nothing to read, a wrong shape, an id twice, NaN, differing vertex counts, shapes not in mm.
    """
    path = Path(path)
    if not path.exists():
        raise RecfaceError(f"{path}: no such file or folder")
    if path.is_file():
        return _from_arrays(path, path.parent, read_arrays(path, remedy=REMEDY), millimeters)
    if (packed := path / "predictions.npz").is_file():
        return _from_arrays(packed, path, read_arrays(packed, remedy=REMEDY), millimeters)
    names = [name for name in FIELD_SHAPES if (path / f"{name}.npy").is_file()]
    arrays = {name: read_array(path / f"{name}.npy", REMEDY) for name in names}
    files = path.iterdir() if "vertices" in names else path.rglob("*")
    if names and not any(file.suffix.lower() in PREDICTED_ENDINGS for file in files):
        return _from_arrays(path, path, arrays, millimeters)
    return mesh_predictions(path, arrays, millimeters)


def write_predictions(folder: Path, table: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, named as in `FIELD_SHAPES`, and ids.csv as `read_predictions` reads them.

    The table has N rows with the column `id`, and others that help a reader.
    """
    for name, array in arrays.items():
        write_array(folder / f"{name}.npy", array)
    write_bytes(folder / IDS, table.to_csv(index=False, lineterminator="\n").encode())


def _from_arrays(file: Path, folder: Path, arrays: dict[str, np.ndarray], millimeters: float = 1.0) -> Predictions:
    found = {name: arrays[name] for name in FIELD_SHAPES if name in arrays}
    if not set(found) & set(PER_SAMPLE):
        own = " (the predictions of a run: give the run's folder)" if "test_parameters" in arrays else ""
        raise RecfaceError(f"{file}: holds none of {', '.join(PER_SAMPLE)}{own}")
    if "ids" in arrays:
        if arrays["ids"].ndim != 1 or arrays["ids"].dtype.kind not in "Uiu":
            raise RecfaceError(f"{file}: ids are {arrays['ids'].dtype} {arrays['ids'].shape}, expected text (N,)")
        ids, source = arrays["ids"].astype(str).tolist(), str(file)
        require_unique(ids, source, lambda row: f"row {row}")
    else:
        if not (folder / IDS).is_file():
            raise RecfaceError(f"{file}: no array ids, and no {folder / IDS} with a column id")
        ids, source = unique_ids(read_table(folder / IDS, ("id",)), folder / IDS), str(folder / IDS)
    sizes: dict[str, int] = {"N": len(ids)}
    for name, array in found.items():
        check_shape(name, array, sizes, file, source)
    return checked(Predictions(tuple(ids), **found, where=str(file)), str(file), millimeters=millimeters)


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
        found = checked(Predictions(tuple(different), vertices=vertices), where, different.tolist())
    else:
        path = folder / SHAPES_FILE
        if not path.is_file():
            raise RecfaceError(
                f"{where}: shape {names[0]} must be an OBJ or PLY file, or an id in {path}, which does not exist"
            )
        found = _from_arrays(path, folder, read_arrays(path, remedy=REMEDY))
        if found.vertices is None:
            raise RecfaceError(f"{path}: needs the arrays ids and vertices")
    rows = pd.Index(found.ids).get_indexer(names)
    if (absent := rows < 0).any():
        raise RecfaceError(f"{where}: shape {names[absent][0]} is not among the {len(found)} ids of {found.where}")
    return found.array("vertices"), rows
