"""Content checksums: of arrays, and of files."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

CHECKSUM_LENGTH = 16


def array_checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Sha256 prefix over names, shapes, types and bytes of some arrays, whatever their order.

    Args:
        arrays: arrays by name.

    Returns:
        16 hexadecimal digits. Source: ours.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:CHECKSUM_LENGTH]


def file_checksum(paths: Iterable[Path]) -> str:
    """Sha256 prefix over the contents of some files, in the given order.

    Args:
        paths: files that exist.

    Returns:
        16 hexadecimal digits. Source: ours.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:CHECKSUM_LENGTH]
