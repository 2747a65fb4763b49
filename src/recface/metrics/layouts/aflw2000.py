"""AFLW2000-3D as 3DDFA's repository has it: arrays of yaw and landmarks in the order of a list of photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.arrays import read_array
from recface.metrics.layouts.found import first_found, listed_paths, table_of
from recface.metrics.protocols import BenchmarkProtocol, Truth
from recface.metrics.protocols.shapes import COLUMNS_OF_21, LANDMARK_COLUMNS, LandmarkError
from recface.metrics.readers.match import parts_of

LIST = "AFLW2000-3D_crop.list"
YAW_FILES = {"pose": "AFLW2000-3D.pose.npy", "new-pose": "AFLW2000-3D-new.pose.npy"}
POINT_FILES = {"original": "AFLW2000-3D.pts68.npy", "reannotated": "AFLW2000-3D-Reannotated.pts68.npy"}
MATLAB_PIXEL = 0.5  # the center of the first pixel is 1 in these arrays
INVISIBLE = -1.0
POINTS_21 = "AFLW2000-3D.pts21.npy"
ASK = "the arrays are test.configs of cleardusk/3DDFA, the list is in its test.data.zip"


def aflw2000_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """AFLW2000-3D: `test.configs/*.npy` and `test.data/AFLW2000-3D_crop.list`, or all in one folder.

    Args:
        path: The folder that holds these two.
        protocol: Its version of the landmarks, their number, and its file of yaw say which arrays are read.
        ids: Unused.

    Returns:
        A row for each photo of the list; points are in the suite's pixels, the first of which has its center at 0.5.

    Raises:
        RecfaceError: A file is missing, or an array has another shape.
    """
    assert isinstance(protocol, LandmarkError)
    version, yaw_version = protocol.version, protocol.yaw_version
    photos = first_found(path, (LIST,), ASK, (".", "test.data", "test.configs"))
    listed = listed_paths(photos, "list of photos", ASK)

    def read(name: str, *shape: int) -> np.ndarray:
        file = first_found(path, (name,), ASK, (".", "test.configs"))
        array = read_array(file, ASK)
        wanted = (len(listed), *shape)
        found = array[:, :2] if array.ndim == 3 else array  # some have a depth, too
        if found.shape != wanted or array.dtype.kind not in "fiu":
            raise RecfaceError(f"{file}: {array.dtype} {array.shape}, expected numbers {wanted}; {ASK}")
        return found.astype(np.float64)

    import pandas as pd

    lines, names = zip(*((line, parts_of("/".join(parts))[-1]) for line, parts in listed), strict=True)
    facts = {"yaw": read(YAW_FILES[yaw_version]), "yaw_version": yaw_version, "landmark_version": version}
    tables = [table_of([{"id": name} for name in names], lines).assign(**facts)]
    arrays = {LANDMARK_COLUMNS: read(POINT_FILES[version], 2, 68)}
    if set(COLUMNS_OF_21) <= set(protocol.columns):
        arrays[COLUMNS_OF_21] = read(POINTS_21, 2, 21)
    for columns, array in arrays.items():
        array = np.where(array == INVISIBLE, INVISIBLE, array - MATLAB_PIXEL)
        points = array.transpose(0, 2, 1).reshape(len(listed), -1)
        tables.append(pd.DataFrame(points, index=tables[0].index, columns=list(columns)))
    return Truth(pd.concat(tables, axis=1), where=str(photos))
