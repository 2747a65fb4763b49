"""CSV files that users write: read as text, with one line for whatever is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recface.errors import RecfaceError

if TYPE_CHECKING:
    import pandas as pd


def read_text_table(path: Path, columns: Sequence[str], what: str = "it") -> pd.DataFrame:
    """Read a CSV with a header.

    Args:
        path: The file.
        columns: Columns that it must have, none of whose cells may be empty; others may.
        what: What needs them, for messages.

    Returns:
        The table; every cell is a string.

    Raises:
        RecfaceError: No such file, no CSV, a missing column, no rows, or an empty cell, named with its line.
    """
    import pandas as pd

    if not path.is_file():
        raise RecfaceError(f"{path}: no such file; {what} needs a CSV with the columns {_listed(columns)}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise RecfaceError(f"{path}: not a readable CSV ({' '.join(str(error).split())[:100]})") from None
    if missing := [name for name in columns if name not in table]:
        raise RecfaceError(f"{path}: no column {missing[0]}; {what} needs {_listed(columns)}")
    if not len(table):
        raise RecfaceError(f"{path}: no rows")
    for name in columns:
        if (empty := table[name].str.strip() == "").any():
            raise RecfaceError(f"{path}: line {int(empty.to_numpy().argmax()) + 2}: {name} is empty")
    return table


def _listed(columns: Sequence[str]) -> str:
    """Columns in a sentence; of many, the first and the last."""
    return ", ".join(columns if len(columns) <= 9 else (*columns[:6], "...", columns[-1]))
