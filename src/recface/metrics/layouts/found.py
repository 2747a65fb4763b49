"""Files of a benchmark's folder: found where the benchmark has them, or one line that says what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recface.errors import RecfaceError, one_line
from recface.files.guard import guarded
from recface.files.tables import FIRST

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BYTES = 100_000_000


def first_found(folder: Path, names: Sequence[str], ask: str, bases: Sequence[str] = (".",)) -> Path:
    """The first of several names that exists in a folder, or in others of its `bases`.

    Raises RecfaceError where none does, ending with `ask`.
    """
    if not folder.exists():
        raise RecfaceError(f"--data {folder}: no such file or folder")
    for name in names:
        for base in bases:
            if (path := folder / base / name).exists():
                return path
    raise RecfaceError(f"{folder}: no {' or '.join(names)}; {ask}")


def only_file(folder: Path, endings: Sequence[str], ask: str) -> Path:
    """The one file of a folder with one of the endings; raises RecfaceError for none or several, ending with `ask`."""
    files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in endings]
    if len(files) != 1:
        listed = f"{len(files)} files" if files else "no file"
        raise RecfaceError(f"{folder}: {listed} with the ending {' or '.join(endings)}, expected one; {ask}")
    return files[0]


def listed_paths(path: Path, what: str, ask: str) -> list[tuple[int, tuple[str, ...]]]:
    """The paths that a list names: the number of each line, from 1, and the parts of its path.

    Raises:
        RecfaceError: The list cannot be read or is empty, or a path leaves the folder.
    """
    with guarded(path, what, ask, LARGEST_BYTES):
        lines = path.read_text("utf-8-sig").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        parts = tuple(part for part in line.strip().replace("\\", "/").split("/") if part not in ("", "."))
        if ".." in parts or "\0" in line:
            raise RecfaceError(f"{path}: line {number}: {one_line(line, 80)!r} leads out of the folder; {ask}")
        if parts:
            found.append((number, parts))
    if not found:
        raise RecfaceError(f"{path}: an empty list; {ask}")
    return found


def table_of(rows: list[dict[str, object]], lines: Sequence[int] | None = None) -> pd.DataFrame:
    """Rows as a table, whose index says the line of the list that each is from, as of `line_of`."""
    import pandas as pd

    index = None if lines is None else [line - FIRST for line in lines]
    return pd.DataFrame(rows, index=index)
