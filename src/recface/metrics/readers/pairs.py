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
        table["fold"] = consecutive_folds(len(table))
    return table


def consecutive_folds(count: int) -> np.ndarray:
    """The fold (count,) of each of some pairs that are cut into ten consecutive parts, as scikit-learn's KFold does."""
    return np.repeat(np.arange(FOLDS), [len(part) for part in np.array_split(np.arange(count), FOLDS)])


def read_view1(train: Path, test: Path) -> pd.DataFrame:
    """Reads LFW's View 1 as `read_pairs`: the pairs of pairsDevTrain.txt are fold 0, those of pairsDevTest.txt fold 1.

    Raises:
        RecfaceError: A line cannot be read, or a list has another length than its first line announces.
    """
    return pd.concat([_lfw(path, 1).assign(fold=fold) for fold, path in enumerate((train, test))], ignore_index=True)


def read_people(path: Path) -> dict[str, tuple[int, int]]:
    """Reads LFW's people.txt or peopleDevTrain.txt: the fold of each person, and the number of photos.

    A list has its number of people on a line, then "name number" of each. The ten folds of people.txt are such lists,
    and their number stands before the first.

    Raises:
        RecfaceError: A line cannot be read, or a list has another length than it announces.
    """
    folds: list[tuple[int, int]] = []  # line and length, as announced
    people: dict[str, tuple[int, int]] = {}
    for number, line in _filled_lines(path):
        *name, count = line.split()
        if len(name) > 1 or not _is_number(count):
            raise RecfaceError(f"{path}: line {number}: expected 'name number', not {line[:60]!r}")
        if not name:
            if len(folds) == 1 and not people:
                folds.clear()  # that was the number of folds
            folds.append((number, int(count)))
        else:
            people[name[0]] = len(folds) - 1, int(count)
    lengths = np.bincount([fold for fold, _ in people.values()], minlength=len(folds)).tolist() if folds else []
    for (number, announced), length in zip(folds, lengths, strict=True):
        if announced != length:
            raise RecfaceError(f"{path}: line {number}: {announced} people announced, {length} follow")
    if not people:
        raise RecfaceError(f"{path}: no people")
    return people


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


def _lfw(path: Path, wanted: int = FOLDS) -> pd.DataFrame:
    (first_line, head), *filled = list(_filled_lines(path)) or [(1, "")]
    words = head.split()
    if not 1 <= len(words) <= 2 or not all(map(_is_number, words)):
        raise RecfaceError(f"{path}: line {first_line}: expected the number of pairs, not {head[:60]!r}")
    folds, each = (int(words[0]) if len(words) == 2 else 1), int(words[-1])
    if folds != wanted:
        view = "ten folds are needed (LFW's View 2)" if wanted == FOLDS else "one number is (LFW's View 1)"
        raise RecfaceError(f"{path}: line {first_line}: {folds} folds; {view}")
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
