"""Predicted meshes as each benchmark wants them handed in: its folders, its names, and its landmarks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.files.atomic import write_array, write_bytes
from recface.files.meshes import obj_text
from recface.metrics.readers.match import parts_of
from recface.metrics.readers.meshes import IDS

HANDED_IN = ("now", "realy", "micc")
"""Benchmarks on scans; the others take the arrays that are written for any photos."""


def place_of(benchmark: str, name: str) -> str:
    """Path, less its ending, of a photo's mesh.

    Args:
        benchmark: One of `HANDED_IN`.
        name: The photo's path. NoW's meshes lie as its photos do, SUBJECT/CHALLENGE/PHOTO, MICC's as the photos given,
            and REALY's in one folder by their names.

    Raises:
        RecfaceError: The path leads elsewhere, or is not one of the benchmark.
    """
    parts = parts_of(name)
    if ".." in parts:
        raise RecfaceError(f"photos: {name} leads out of the folder; name photos below it")
    if benchmark == "now" and len(parts) < 3:
        raise RecfaceError(f"photos: {name}: NoW's photos are named SUBJECT/CHALLENGE/PHOTO.jpg, as in its list")
    return {"now": "/".join(parts[-3:]), "realy": f"meshes/{parts[-1]}", "micc": "/".join(parts)}[benchmark]


def require_places(benchmark: str, names: Sequence[str]) -> list[str]:
    """`place_of` each of N photos; raises RecfaceError as it does, or where two photos have one place."""
    places = [place_of(benchmark, name) for name in names]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise RecfaceError(f"photos: two of them are {twice}; give one")
    return places


def write_handed_in(
    benchmark: str, out: Path, names: Sequence[str], shapes: np.ndarray, points: np.ndarray, model: FaceModel
) -> None:
    """Write a mesh for each of N photos, in mm.

    NoW's and MICC's have their seven landmarks beside them, as (7, 3) `.npy`. REALY's keypoints are named on a
    template, which is written as `template.obj`: their file `template.txt` is asked for at REALY. `ids.csv` tells the
    predictions from the template.

    Args:
        benchmark: One of `HANDED_IN`.
        out: The folder.
        names: The photos' paths.
        shapes: (N, V, 3) neutral shapes.
        points: (N, 7, 3) landmarks.
        model: Of the shapes.

    Raises:
        RecfaceError: As `require_places`.
    """
    places = require_places(benchmark, names)
    triangles = model.triangles.numpy()
    for place, shape, marks in zip(places, shapes, points, strict=True):
        write_bytes(out / f"{place}.obj", obj_text(shape, triangles).encode())
        if benchmark != "realy":
            write_array(out / f"{place}.npy", marks)
    if benchmark == "realy":
        write_bytes(out / "template.obj", obj_text(model.mean.numpy(), triangles).encode())
        table = pd.DataFrame({"id": names, "file": [f"{place}.obj" for place in places]})
        write_bytes(out / IDS, table.to_csv(index=False, lineterminator="\n").encode())
