"""Arrays from .npz and .npy files: no objects, no more memory than the file is worth, native byte order."""

from __future__ import annotations

import math
import sys
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from recface.files.guard import guarded, require_file, require_modest


def read_arrays(path: str | Path, *beginnings: str, remedy: str = "run it again") -> dict[str, np.ndarray]:
    """Read the arrays of a .npz file by name; with `beginnings`, only those whose names begin with one of them.

    Raises:
        RecfaceError: The file cannot be read; the message ends with the remedy.
    """
    with guarded(path, "npz", remedy), zipfile.ZipFile(path) as archive:
        require_modest(archive, require_file(path))
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        names = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        chosen = {name: names[name] for name in names if not beginnings or name.startswith(beginnings)}
        found = {name: _entry(archive, entry) for name, entry in chosen.items()}
    return found


def read_array(path: str | Path, remedy: str = "write it again") -> np.ndarray:
    """Open a .npy file, memory-mapped; one of another byte order is converted into memory.

    Raises:
        RecfaceError: The file cannot be read, or holds objects; the message ends with the remedy.
    """
    with guarded(path, "npy", remedy):
        array = _native(np.lib.format.open_memmap(path, mode="r"))
        if array.size == 1:  # a single number is mapped as a row of one
            array = _native(np.load(path, allow_pickle=False))
    return array


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as stream:
        shape, dtype = _header(stream)
        if math.prod(shape) * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError(f"{entry.filename} does not have the size that its header promises")
    with archive.open(entry) as stream:
        return _native(np.lib.format.read_array(stream, allow_pickle=False))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if any(size < 0 for size in shape):
        raise ValueError("a header with a negative size")
    return shape, dtype


def _native(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biufSU":
        raise ValueError(f"{array.dtype} are neither numbers nor text")
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.frombuffer(array.tobytes(), array.dtype.str[0].replace("|", "=") + "u4")
        if codes.max() > sys.maxunicode:  # NumPy's own conversion would fail in its C code
            raise ValueError("text with characters that do not exist")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
