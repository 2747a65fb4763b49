"""InsightFace's verification files, `.bin`: encoded photos, two a pair, and whether each pair shows one person."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import guarded
from recface.files.pickles import InertUnpickler

LARGEST_BYTES = 2_000_000_000
REMEDY = "get it again from InsightFace's data sets"


def read_verification_bin(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """Read 2P encoded photos, of which 2i and 2i + 1 are pair i, and (P,) bool, whether a pair shows one person.

    Raises:
        RecfaceError: The file is missing, damaged or of another content, or names code, of which nothing was run.
    """
    with guarded(path, "verification file", REMEDY, LARGEST_BYTES):
        try:
            content = InertUnpickler(io.BytesIO(Path(path).read_bytes()), "bytes", {}).load()
        except RecfaceError as error:
            raise RecfaceError(f"{path}: a pickle with code in it ({error}); nothing was run; {REMEDY}") from None
        photos, same = content
        if not all(isinstance(photo, bytes) for photo in photos) or not set(same) <= {True, False}:
            raise ValueError("it must hold a list of encoded photos and a list of truth values")
        if len(photos) != 2 * len(same) or not same:
            raise ValueError(f"{len(photos)} photos for {len(same)} pairs")
    return list(photos), np.array(same, bool)
