"""What every reader does: only regular files, and whatever a parser raises in one line."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recface.errors import RecfaceError, one_line

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
EXPANSION, FREE_BYTES = 100, 1 << 28
"""An archive may expand to so many times its size, and this much more: floats hardly shrink, masks and zeros do."""
NAME = re.compile(r"\w[\w.,=+@ -]{0,149}")


def is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number that can be computed with, or null."""
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


@contextmanager
def guarded(path: str | Path, kind: str, remedy: str = "", limit: int | None = None) -> Iterator[None]:
    """Around the parsing of a file: whatever goes wrong ends as "PATH: not a readable KIND (why); remedy".

    Args:
        path: The file, which must be a regular one: reading a pipe or a device might never end.
        kind: What the file should be, such as "npz".
        remedy: What to do.
        limit: Largest size in bytes.

    Raises:
        RecfaceError: The file is missing, of another kind or too large, or the body raised an exception. A
            `RecfaceError` of the body passes as it is.
    """
    try:
        size = require_file(path)
        if limit is not None and size > limit:
            raise ValueError(f"{size / 1e6:,.1f} MB; at most {limit / 1e6:g} MB are read")
        yield
    except RecfaceError:
        raise
    except Exception as error:  # a format fails in as many ways as there are parsers
        missing = isinstance(error, FileNotFoundError)
        what = "no such file" if missing else f"not a readable {kind} ({reason(error)})"
        raise RecfaceError(f"{path}: {what}" + (f"; {remedy}" if remedy else "")) from None


def reason(error: Exception) -> str:
    """Why a parser failed, in a few words; never with its advice on how to load what is not safe."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error)[:10_000]  # an error may quote a file of many megabytes
    unsafe = re.search(r"pickle|weights.only|trust|object array", text, re.IGNORECASE)
    return "it holds other objects than arrays" if unsafe else one_line(text, 120) or type(error).__name__


def require_file(path: str | Path) -> int:
    """Size in bytes of a regular file.

    Raises:
        OSError: There is none, or it may not be looked at.
        ValueError: It is a folder, a pipe, a socket or a device.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"it is {KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}")
    return status.st_size


def is_file(path: str | Path) -> bool:
    """Whether a path names a regular file; no for names that no file can have, such as overlong ones."""
    try:
        require_file(path)
    except (OSError, ValueError):
        return False
    return True


def require_modest(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for a zip archive of `size` bytes that promises to expand beyond reason."""
    total = sum(entry.file_size for entry in archive.infolist())
    if total > EXPANSION * size + FREE_BYTES:
        raise ValueError(f"{size / 1e6:,.1f} MB would expand to {total / 1e9:,.1f} GB")


def plain_name(text: str, what: str) -> str:
    """Text from outside that becomes the name of a file or a folder, as it is.

    Args:
        text: At most 150 letters, digits and `_.,=+@ -`; the first is a letter, a digit or `_`.
        what: What the message calls it.

    Raises:
        RecfaceError: It could lead elsewhere, or is no name.
    """
    if not NAME.fullmatch(text):
        raise RecfaceError(f"{what} must be a plain name (letters, digits, and any of _.,=+@-), not {text[:80]!r}")
    return text
