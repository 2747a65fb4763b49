"""Pair lists in the forms that verification benchmarks pass them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.files.guard import guarded
from recface.files.tables import FIRST, read_table

FOLDS = 10
TRUE, FALSE = ("1", "true", "yes"), ("0", "-1", "false", "no")
LARGEST_BYTES = 4_000_000_000


def read_pairs(path: Path, folds: bool = True) -> pd.DataFrame:
    """Read a pair list.

    Three forms are known by their content:

    - CSV with a header: columns `first`, `second` (ids), `same` (1 or 0), and, if wanted, `fold`.
    - LFW's pairs.txt: a first line "10 300", then for each fold 300 lines "name number number" and 300 lines "name
      number name number". The id of number 4 of Some_Name is Some_Name_0004.
    - Lines "first second same" without a header, as AgeDB-30's and IJB's lists are passed on.

    Without `fold` the pairs are cut into ten equal consecutive parts, in the file's order; of a protocol without folds
    all pairs are in fold 0.

    Returns:
        Columns first, second (str), same (bool), fold (int64), and line (the file's line, from 1).

    Raises:
        RecfaceError: A line cannot be read, or the pairs are too few for ten folds.
    """
    head = next((line for _, line in _filled_lines(path)), None)
    if head is None:
        raise RecfaceError(f"{path}: no pairs")
    words = head.split()
    if "," in head:
        table = _csv(path, folds)
    elif len(words) <= 2 and all(map(_is_number, words)):
        table = _lfw(path)
    else:
        table = _plain(path)
    if not folds:
        return table.assign(fold=0)
    if "fold" not in table:
        if len(table) < 2 * FOLDS:
            raise RecfaceError(f"{path}: {len(table)} pairs are too few for ten folds of two pairs or more")
        table["fold"] = np.concatenate([np.full(len(p), f) for f, p in enumerate(np.array_split(table.index, FOLDS))])
    return table


def _filled_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, of the lines that are not empty, and the lines without blanks round them."""
    guard = guarded(path, "pair list", "docs/protocols.md has the forms", LARGEST_BYTES)
    with guard, path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10  # a superscript two is a digit, too


def _csv(path: Path, folds: bool) -> pd.DataFrame:
    table = read_table(path, ("first", "second", "same"), "a pair list").assign(line=lambda rows: rows.index + FIRST)
    table = table.reset_index(drop=True)
    result = table[["first", "second", "line"]].assign(same=_labels(path, table))
    if folds and "fold" in table:
        fold = pd.to_numeric(table["fold"], errors="coerce")
        if (bad := ~np.isfinite(fold) | (fold % 1 != 0)).any():
            row = table.iloc[int(np.flatnonzero(bad)[0])]
            raise RecfaceError(f"{path}: line {row['line']}: fold must be a whole number, not {row['fold']!r}")
        result["fold"] = fold.astype(np.int64)
        if (count := result["fold"].nunique()) != FOLDS:
            raise RecfaceError(f"{path}: {len(table)} pairs in {count} folds; ten folds are needed")
    return result


def _plain(path: Path) -> pd.DataFrame:
    known: dict[str, str] = {}  # equal ids share memory: IJB-C has 15.7 million pairs of 0.5 million ids
    columns: tuple[list[str], list[str], list[str]] = ([], [], [])
    lines = []
    for number, line in _filled_lines(path):
        words = line.split()
        if len(words) != len(columns):
            raise RecfaceError(f"{path}: line {number}: expected 'first second same' (docs/protocols.md has the forms)")
        lines.append(number)
        for column, word in zip(columns, words, strict=True):
            column.append(known.setdefault(word, word))
    table = pd.DataFrame({"first": columns[0], "second": columns[1], "same": columns[2], "line": lines})
    return table.assign(same=_labels(path, table))


def _labels(path: Path, table: pd.DataFrame) -> pd.Series:
    label = table["same"].str.lower().map(dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False))
    if (bad := label.isna().to_numpy()).any():
        row = table.iloc[int(np.flatnonzero(bad)[0])]
        raise RecfaceError(f"{path}: line {row['line']}: same must be 1 or 0, not {row['same']!r}")
    return label.astype(bool)


def _lfw(path: Path) -> pd.DataFrame:
    (first_line, head), *filled = _filled_lines(path)
    numbers = [int(part) for part in head.split()]
    folds, each = (1, numbers[0]) if len(numbers) == 1 else numbers
    if folds != FOLDS:
        raise RecfaceError(f"{path}: line {first_line}: {folds} folds; ten folds are needed (LFW's View 2)")
    if len(filled) != 2 * folds * each:
        raise RecfaceError(f"{path}: {len(filled)} pairs, but its first line announces {2 * folds * each}")
    rows = []
    for index, (number, line) in enumerate(filled):
        parts = line.split()
        expected = 3 if index % (2 * each) < each else 4
        digits = parts[1::2] if expected == 4 else parts[1:]
        if len(parts) != expected or not all(map(_is_number, digits)):
            raise RecfaceError(f"{path}: line {number}: not of the form of LFW's pairs.txt: {line[:60]!r}")
        names = (parts[0], parts[0]) if expected == 3 else (parts[0], parts[2])
        first, second = (f"{name}_{int(part):04d}" for name, part in zip(names, digits, strict=True))
        rows.append((first, second, expected == 3, index // (2 * each), number))
    return pd.DataFrame(rows, columns=["first", "second", "same", "fold", "line"])
