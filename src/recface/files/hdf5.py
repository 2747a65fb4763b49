"""Arrays from HDF5 files, by h5py: no links to other files, no more memory than the file is worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import EXPANSION, FREE_BYTES, guarded, require_file

LARGEST_BYTES = 4_000_000_000


def read_hdf5(path: str | Path, *names: str, remedy: str = "download it again") -> dict[str, np.ndarray]:
    """Read arrays of numbers by their full names, such as "shape/model/mean"; those that the file lacks are left out.

    Raises:
        RecfaceError: The package h5py is not installed, the file is missing or damaged, or a wanted array is not of
            numbers, lies in another file or is larger than the file can be worth.
    """
    try:
        import h5py
    except ImportError:
        raise RecfaceError("the package h5py is not installed; pip install 'h5py>=3.16,<4'") from None
    found: dict[str, np.ndarray] = {}
    with guarded(path, "HDF5 file", remedy, LARGEST_BYTES), h5py.File(path, "r", locking=False) as file:
        left = EXPANSION * require_file(path) + FREE_BYTES
        for name in names:
            if (dataset := _dataset(h5py, file, name)) is not None:
                left -= math.prod(dataset.shape) * dataset.dtype.itemsize
                if left < 0:
                    raise ValueError(f"{name} {dataset.shape} is larger than such a file can be")
                found[name] = dataset[()]
    return found


def _dataset(h5py: Any, file: Any, name: str) -> Any:
    """The array of numbers under a name, None where there is none; every step to it must stay in the file."""
    place = file
    for step in name.split("/"):
        link = place.get(step, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to another place")
        place = place[step]
    if not isinstance(place, h5py.Dataset) or place.shape is None or place.dtype.kind not in "fiu":
        raise ValueError(f"{name} is not an array of numbers")
    if place.is_virtual or place.external:
        raise ValueError(f"{name} lies in another file")
    return place
