"""A cache that processes share: one makes what is missing or damaged while the others wait; reading takes no lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from recface.errors import RecfaceError
from recface.files.atomic import sweep_up

T = TypeVar("T")


def default_cache_dir() -> Path:
    """Folder of cached files: the environment variable RECFACE_CACHE, else `.cache` in the working directory."""
    return Path(os.environ.get("RECFACE_CACHE") or Path.cwd() / ".cache")


def cached(path: Path, read: Callable[[], T | None], make: Callable[[], object]) -> T:
    """What a cache holds at a path, made first where it has to be.

    Args:
        path: Of the file or folder; its parent is made, and a file with the ending .lock beside it.
        read: Returns the content, None where it is missing, damaged or another one; a shared cache may be read-only.
        make: Writes it.

    Raises:
        RecfaceError: What was just made cannot be read.
    """
    if (found := read()) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_up(path.parent, hours=1)
        with FileLock(path.with_suffix(".lock")):
            if (found := read()) is None:
                make()
                found = read()
    if found is None:
        raise RecfaceError(f"{path}: what was just written cannot be read; is the disk full?")
    return found
