"""CSV files: every cell as text, only an empty one unknown, every mistake with its line. One reader for all tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from recface.errors import RecfaceError
from recface.files.guard import guarded

if TYPE_CHECKING:
    import pandas as pd

FIRST = 2
"""Line of the first row in a file without empty lines; the index of a table counts from here."""
MOST_COLUMNS = 2_000


def read_table(path: Path, columns: Sequence[str], what: str = "it", *, only: bool = False) -> pd.DataFrame:
    """Read a CSV with a header.

    Args:
        path: The file.
        columns: Columns that the table must have, without empty cells; other columns may have some.
        what: Name in messages of whatever needs the columns.
        only: Whether to keep these columns alone, as of a table with millions of rows.

    Returns:
        The table; every cell is a string without blanks round it. Empty lines are left out; the index is that of
        `line_of`.

    Raises:
        RecfaceError: The file is missing or not a CSV, lacks rows or a column, or has a doubled column, an empty cell,
            or a row longer than the header.
    """
    import pandas as pd

    needs = f"{what} needs a CSV with the columns {_listed(columns)}"
    with guarded(path, "CSV", needs), path.open(encoding="utf-8-sig", newline="") as stream:
        records = _records(stream)
        _, header = next(records, (1, []))
        if len(header) > MOST_COLUMNS:
            raise ValueError(f"{len(header):,} columns, at most {MOST_COLUMNS:,} are read")
        kept = [index for index, name in enumerate(header) if not only or name in columns]
        rows = [(line, _cut(cells, kept, len(header), f"{path}: line {line}")) for line, cells in records]
    if doubled := [name for name in header if name and header.count(name) > 1]:
        raise RecfaceError(f"{path}: column {doubled[0]} is there twice; keep one")
    if missing := [name for name in columns if name not in header]:
        raise RecfaceError(f"{path}: no column {missing[0]}; {what} needs {_listed(columns)}")
    if not rows:
        raise RecfaceError(f"{path}: no rows; add at least one below the header")
    header = [header[index] for index in kept]
    table = pd.DataFrame([cells for _, cells in rows], index=[line - FIRST for line, _ in rows], columns=header)
    for name in columns:
        if (empty := (table[name] == "").to_numpy()).any():
            raise RecfaceError(f"{path}: line {line_of(table, int(empty.argmax()))}: {name} is empty")
    return table


def _cut(cells: list[str], kept: Sequence[int], count: int, where: str) -> list[str]:
    """The kept ones of a row's cells under `count` columns; missing ones are empty, a comma too many does no harm."""
    while len(cells) > count and not cells[-1]:
        cells.pop()
    if len(cells) > count:
        raise RecfaceError(f"{where}: {len(cells)} cells under {count} columns")
    cells += [""] * (count - len(cells))
    return cells if len(kept) == count else [cells[index] for index in kept]


def line_of(table: pd.DataFrame, row: int) -> int:
    """Line of the file in which a row of a table, or of a part of one, begins."""
    return int(table.index[row]) + FIRST


def _records(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    """First line of each record, from 1, and its cells; a quoted cell may hold line ends. Equal cells share memory."""
    reader, begin, known = csv.reader(stream, skipinitialspace=True, strict=True), 1, dict[str, str]()
    for cells in reader:
        if len(cells) > 1 or "".join(cells).strip():
            yield begin, [known.setdefault(cell, cell) for cell in map(str.strip, cells)]
        begin = reader.line_num + 1


def _listed(columns: Sequence[str]) -> str:
    """Columns in a sentence, abridged if many."""
    return ", ".join(columns if len(columns) <= 9 else (*columns[:6], "...", columns[-1]))
