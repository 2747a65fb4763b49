"""Files written whole: beside their place, then moved there in one step."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from recface.errors import RecfaceError

if TYPE_CHECKING:
    import numpy as np


TORN_BYTES = 1_000_000  # longer than any line
TEMPORARY = ".recface-part"
"""Ending of files that are being written; a killed process leaves one behind."""


def sweep_up(folder: str | Path, hours: float = 0.0) -> None:
    """Remove what killed processes left half written in a folder and those in it.

    Without `hours`, nobody else may be writing there; else only files that are older go.
    """
    before = time.time() - 3600 * hours
    for path in Path(folder).rglob(f".*{TEMPORARY}"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if path.stat().st_mtime <= before:
                path.unlink()


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary binary file that replaces `path` when the block ends; its folder is made if needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=TEMPORARY)
    os.close(handle)
    try:
        with open(temporary, "r+b") as file:  # by its name, so that `file.name` is one that others can write to
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; a shared folder needs readable ones
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, data: bytes) -> bool:
    """Replace a file, unless it already holds these bytes; return whether it changed."""
    path = Path(path)
    if path.is_file() and path.read_bytes() == data:
        return False
    with replacing(path) as file:
        file.write(data)
    return True


def write_json(path: str | Path, value: Any) -> bool:
    """Replace a file by a value as indented JSON (see `plain`); see `write_bytes`."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return write_bytes(path, (text + "\n").encode())


def append_json_line(path: str | Path, row: Mapping[str, Any]) -> None:
    """Add a JSON object to a file of one a line; what a killed process left of a line goes first."""
    with open(path, "a+b") as file:
        end = file.tell()
        file.seek(max(0, end - TORN_BYTES))
        tail = file.read()
        file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
        file.write((json.dumps(plain(row), allow_nan=False) + "\n").encode())


def write_array(path: str | Path, array: np.ndarray) -> bool:
    """Replace a .npy file; see `write_bytes`."""
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array)
    return write_bytes(path, stream.getvalue())


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Replace a .npz file by these arrays under their names, uncompressed."""
    import numpy as np

    with replacing(path) as file:
        np.savez(file, **arrays)


def plain(value: Any) -> Any:
    """Turn a nested value into plain JSON types: NumPy and torch scalars to numbers, arrays to lists, NaN to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # NumPy and torch, without importing either
        return plain(value.tolist())
    return str(value)


def require_empty(folder: Path) -> None:
    """Raise RecfaceError unless a folder is new or empty, so that old and new arrays never mix."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecfaceError(f"{folder}: must be a new or empty folder")
