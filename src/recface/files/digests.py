"""Hashes over the content of files, so that a run whose inputs change is another run.

They are cached by name, size and time: three million photos are read once, and looked at afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec

from recface.errors import RecfaceError
from recface.files.atomic import write_json
from recface.files.guard import is_file
from recface.files.json_files import read_json
from recface.files.tables import read_table

MISSING = "missing"
"""Digest of a file that is not there: no error yet, since the run will fail and its record will say why."""
LENGTH = 12
MODEL_FOLDERS = ("FaceXModel", "ict_face")
SLOW_SECONDS = 0.5
P = ParamSpec("P")


def seldom(function: Callable[P, str]) -> Callable[P, str]:
    """Keep a slow digest for 20 times as long as it took to compute.

    A sweep asks for the folder of every point again and again; a look at three million photos takes minutes.
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
    try:
        about = os.stat(path)
        return _digest(str(path), about.st_size, about.st_mtime_ns)
    except (OSError, ValueError):  # none there, or a name that no file can have
        return MISSING


def model_digest(path: str | Path) -> str:
    """Hash of a face model: of an .npz, which is whole by itself, of a folder, or of a file with those beside it.

    Files of a folder count by their names, also those in the folders in it where ICT-FaceKit's may lie.
    """
    path = Path(path)
    if path.suffix == ".npz" or not (path.is_dir() or is_file(path)):
        return file_digest(path)
    folder = path if path.is_dir() else path.parent
    places = [folder, *(folder / name for name in MODEL_FOLDERS if (folder / name).is_dir())]
    files = [file for place in places for file in sorted(place.iterdir()) if is_file(file)]
    named = [f"{file.relative_to(folder).as_posix()}\0{file_digest(file)}\0" for file in files]
    chosen = "" if folder == path else path.name
    return hashlib.sha256("".join([chosen, *named]).encode()).hexdigest()[:LENGTH]


@functools.lru_cache(maxsize=1024)  # ICT-FaceKit alone has 200 files
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
        about = None
        with contextlib.suppress(OSError, ValueError):
            about = os.stat(path)
        state.update(f"{os.path.abspath(path)}\0{about and (about.st_size, about.st_mtime_ns)}\0".encode())
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


def photos_digest(path: str | Path, cache: str | Path) -> str:
    """Hash over a table of photos and the content of every photo that it names; "missing" where there is none."""
    path = Path(path)
    table = path / "faces.csv" if os.path.isdir(path) else path
    return table_digest(table, cache, table.parent / "images")


@seldom
def table_digest(table: Path, cache: str | Path, folder: Path | None = None) -> str:
    """Hash over a table with a column `file` and the content of the files, in `folder` or beside the table."""
    if not is_file(table):
        return MISSING
    try:
        names = read_table(table, ("file",), only=True)["file"]
    except RecfaceError:
        return file_digest(table)  # the run will say what is wrong
    place = folder if folder is not None and os.path.isdir(folder) else table.parent
    return files_digest([table, *(place / name for name in names)], cache)
