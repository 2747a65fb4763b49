"""Arrays of numbers from MAT files of version 5 to 7, by SciPy, after a look at every size that the file claims."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import EXPANSION, FREE_BYTES, guarded

LARGEST_BYTES = 2_000_000_000
COMPRESSED, MATRIX = 15, 14
NUMBERS = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
HDF5 = b"\x89HDF\r\n\x1a\n"


def read_matlab(path: str | Path, *names: str, remedy: str = "download it again") -> dict[str, np.ndarray]:
    """Read arrays of numbers by name, as MATLAB shapes them: always with two dimensions or more.

    Args:
        path: A MAT file of version 5 to 7.
        names: The wanted arrays; those that the file lacks are left out.
        remedy: What to do where the file cannot be read.

    Raises:
        RecfaceError: The file is missing or damaged, is of version 7.3, or holds something else under a wanted name.
    """
    from scipy.io import loadmat, whosmat

    with guarded(path, "MAT file", remedy, LARGEST_BYTES):
        data = Path(path).read_bytes()
        if HDF5 in data[:1024]:
            raise RecfaceError(f"{path}: MAT version 7.3 is not read; in MATLAB, load it and save it again with '-v7'")
        stream = io.BytesIO(_expanded(data))  # which never gives more than it has, whatever a size says
        kinds = {name: kind for name, _, kind in whosmat(stream) if name in names}
        if strange := [f"{name} is a {kind}" for name, kind in kinds.items() if kind not in NUMBERS]:
            raise ValueError(f"{strange[0]}, expected numbers")
        stream.seek(0)
        found = loadmat(stream, variable_names=list(kinds)) if kinds else {}
        return {name: np.ascontiguousarray(found[name]) for name in kinds}


def _expanded(data: bytes) -> bytes:
    """The file without compression; every element must lie within the file and expand to a bounded size."""
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("no header of MAT version 5")
    order = "<" if data[126:128] == b"IM" else ">"
    parts, place, left = [data[:128]], 128, EXPANSION * len(data) + FREE_BYTES
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        begin, place = place, place + 8 + size
        if place > len(data):
            raise ValueError("it ends too early: the download was cut")
        if kind == COMPRESSED:
            inflater = zlib.decompressobj()
            parts.append(inflater.decompress(data[begin + 8 : place], left))
            if not inflater.eof:
                raise ValueError("a compressed array that is damaged or too large")
        else:
            parts.append(data[begin:place])
        left -= len(parts[-1])
        inner, length = struct.unpack_from(f"{order}II", parts[-1])
        if inner != MATRIX or length + 8 > len(parts[-1]):
            raise ValueError(f"an element of kind {inner} and {length:,} bytes, expected an array")
        _require_inside(parts[-1], order)
    return b"".join(parts)


def _require_inside(element: bytes, order: str) -> None:
    """Raise ValueError where a part of an array (form, name, numbers) claims to be larger than the array."""
    place = 8
    while place < len(element):
        kind, size = struct.unpack_from(f"{order}II", element, place)
        inside = 0 if kind >> 16 else size  # parts of four bytes or fewer lie in their own tag
        if place + 8 + inside > len(element):
            raise ValueError("an array with parts beyond its end")
        place += 8 + inside + -inside % 8
