"""Hashes over the content of files, so that a run whose inputs change is another run.

They are cached by name, size and time: three million photos are read once, and looked at afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec

from recface.errors import RecfaceError
from recface.files.atomic import write_json
from recface.files.json_files import read_json

MISSING = "missing"
"""Digest of a file that is not there: no error yet, since the run will fail and its record will say why."""
LENGTH = 12
SLOW_SECONDS = 0.5
P = ParamSpec("P")


def seldom(function: Callable[P, str]) -> Callable[P, str]:
    """Let a digest that takes long be asked often: it is looked at anew after 20 times as long as it took.

    A sweep asks for the folder of every point again and again; a look at three million photos takes half a minute.
    """
    known: dict[Any, tuple[float, str]] = {}

    @functools.wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> str:
        key, begin = (args, tuple(kwargs.items())), time.monotonic()
        until, digest = known.get(key, (0.0, ""))
        if begin >= until:
            digest = function(*args, **kwargs)
            took = time.monotonic() - begin
            known[key] = (begin + 20 * took if took > SLOW_SECONDS else 0.0, digest)
        return digest

    return asked


def file_digest(path: str | Path) -> str:
    """Hash of one file's content."""
    path = Path(path)
    if not path.is_file():
        return MISSING
    return _digest(str(path), path.stat().st_size, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]


def files_digest(paths: Iterable[Path], cache: str | Path) -> str:
    """Hash of the content of many files, in their order, whatever folder they lie in.

    Args:
        paths: The files.
        cache: Folder in which the hash is kept, as `digests/<hash over names, sizes and times>.json`.
    """
    paths, state = list(paths), hashlib.sha256()
    for path in paths:
        about = path.stat() if path.is_file() else None
        state.update(f"{path.resolve()}\0{about and (about.st_size, about.st_mtime_ns)}\0".encode())
    kept = Path(cache) / "digests" / f"{state.hexdigest()[:24]}.json"
    with contextlib.suppress(RecfaceError, KeyError):
        return str(read_json(kept)["digest"])
    whole = hashlib.sha256()
    for path in paths:
        whole.update(file_digest(path).encode())
    digest = whole.hexdigest()[:LENGTH]
    with contextlib.suppress(OSError):  # a cache that others filled and that we may only read
        write_json(kept, {"digest": digest})
    return digest
