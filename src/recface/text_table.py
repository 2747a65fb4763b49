"""CSV files written by users: every cell as text, every mistake named with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from recface.errors import RecfaceError, one_line

if TYPE_CHECKING:
    import pandas as pd

FIRST = 2
"""Line of the first row in a file without empty lines; the index of a table counts from here."""


def read_text_table(path: Path, columns: Sequence[str], what: str = "it") -> pd.DataFrame:
    """Read a CSV with a header.

    Args:
        path: The file.
        columns: Columns that the table must have, without empty cells; other columns may have some.
        what: Name in messages of whatever needs the columns.

    Returns:
        The table; every cell is a string. Empty lines are left out; the index is that of `line_of`.

    Raises:
        RecfaceError: The file is missing or not a CSV, lacks rows or a column, or has a doubled column or empty cell.
    """
    import pandas as pd

    if not path.is_file():
        raise RecfaceError(f"{path}: no such file; {what} needs a CSV with the columns {_listed(columns)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            (_, header), *rows = list(_records(stream)) or [(1, [])]
    except (OSError, ValueError, csv.Error) as error:
        raise RecfaceError(f"{path}: not a readable CSV ({one_line(error, 100)})") from None
    header = [name.strip() for name in header]
    if missing := [name for name in columns if name not in header]:
        raise RecfaceError(f"{path}: no column {missing[0]}; {what} needs {_listed(columns)}")
    if doubled := [name for name in columns if header.count(name) > 1]:
        raise RecfaceError(f"{path}: column {doubled[0]} is there twice; keep one")
    if not rows:
        raise RecfaceError(f"{path}: no rows; add at least one below the header")
    for line, cells in rows:
        if len(cells) > len(header):
            raise RecfaceError(f"{path}: line {line}: {len(cells)} cells under {len(header)} columns")
        cells += [""] * (len(header) - len(cells))
    table = pd.DataFrame([cells for _, cells in rows], index=[line - FIRST for line, _ in rows], columns=header)
    for name in columns:
        if (empty := (table[name].str.strip() == "").to_numpy()).any():
            raise RecfaceError(f"{path}: line {line_of(table, int(empty.argmax()))}: {name} is empty")
    return table


def line_of(table: pd.DataFrame, row: int) -> int:
    """Line of the file in which a row of a text table, or of a part of one, begins."""
    return int(table.index[row]) + FIRST


def _records(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    """First line of each record, from 1, and its cells; a quoted cell may hold line ends."""
    reader, begin = csv.reader(stream, skipinitialspace=True, strict=True), 1
    for cells in reader:
        if len(cells) > 1 or "".join(cells).strip():
            yield begin, cells
        begin = reader.line_num + 1


def _listed(columns: Sequence[str]) -> str:
    """Columns in a sentence, abridged if many."""
    return ", ".join(columns if len(columns) <= 9 else (*columns[:6], "...", columns[-1]))
