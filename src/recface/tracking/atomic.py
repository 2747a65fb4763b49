"""Files that are always whole: written beside their place, then moved there in one step."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recface.errors import RecfaceError

if TYPE_CHECKING:
    import numpy as np


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold: NumPy and torch scalars to numbers, arrays to lists, NaN and inf to None.

    Args:
        value: Any nesting of mappings, sequences, scalars and arrays.

    Returns:
        The same nesting of dict, list, str, bool, int, float and None.
    """
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


def write_bytes(path: Path, data: bytes) -> bool:
    """Replace a file atomically, unless it already holds these bytes.

    Args:
        path: File to write; its folder is made if needed.
        data: The whole content.

    Returns:
        Whether the file changed.
    """
    path = Path(path)
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; a shared folder needs readable ones
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def write_array(path: Path, array: np.ndarray) -> bool:
    """Write an array as .npy, atomically; see `write_bytes`."""
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array)
    return write_bytes(path, stream.getvalue())


def require_empty(folder: Path) -> None:
    """A folder for arrays that belong together must be new or empty: older ones would be read with them.

    Raises:
        RecfaceError: It holds something, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecfaceError(f"{folder}: holds something already; give a new folder")


def write_json(path: Path, value: Any) -> bool:
    """Write a value as indented JSON, atomically; see `write_bytes`."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return write_bytes(path, (text + "\n").encode())
