"""Truth of a protocol: manifests and pair lists, and predictions in their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recface.errors import RecfaceError, one_line
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth
from recface.metrics.readers.predictions import PER_SAMPLE, unique_ids
from recface.text_table import line_of, read_text_table

FOLDS = 10
TRUE, FALSE = {"1", "true", "yes"}, {"0", "-1", "false", "no"}


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
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = next((line.strip() for line in file if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise RecfaceError(f"{path}: not a readable pair list ({error})") from None
    if not head:
        raise RecfaceError(f"{path}: no pairs")
    if "," in head:
        table = _csv(path, folds)
    elif all(part.isdigit() for part in head.split()) and len(head.split()) <= 2:
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


def _csv(path: Path, folds: bool) -> pd.DataFrame:
    table = _parsed(path, sep=",", skipinitialspace=True)
    if missing := [name for name in ("first", "second", "same") if name not in table]:
        raise RecfaceError(f"{path}: no column {missing[0]}; a pair list has first, second, same, and fold if wanted")
    table["line"] = np.arange(len(table)) + 2
    result = table[["first", "second", "line"]].assign(same=_labels(path, table))
    if folds and "fold" in table:
        fold = pd.to_numeric(table["fold"], errors="coerce")
        if (bad := fold.isna() | (fold % 1 != 0)).any():
            row = int(np.flatnonzero(bad)[0])
            raise RecfaceError(f"{path}: line {row + 2}: fold must be a whole number, not {table['fold'].iloc[row]!r}")
        result["fold"] = fold.astype(np.int64)
        if (count := result["fold"].nunique()) != FOLDS:
            raise RecfaceError(f"{path}: {len(table)} pairs in {count} folds; ten folds are needed")
    return result


def _plain(path: Path) -> pd.DataFrame:
    table = _parsed(path, sep=r"\s+", header=None, skip_blank_lines=False)
    table.columns = ["first", "second", "same"][: table.shape[1]] + [f"more{i}" for i in range(3, table.shape[1])]
    table = table.assign(line=np.arange(len(table)) + 1)
    table = table[table["first"].fillna("") != ""]  # blank lines
    short = (table.isna() | (table == "")).any(axis=1) if table.shape[1] == 4 else np.ones(len(table), bool)
    if np.any(short):
        line = table["line"].iloc[int(np.flatnonzero(short)[0])]
        raise RecfaceError(f"{path}: line {line}: expected 'first second same' (docs/protocols.md has the forms)")
    return table[["first", "second", "line"]].assign(same=_labels(path, table)).reset_index(drop=True)


def _parsed(path: Path, **options: Any) -> pd.DataFrame:
    """All cells as text: IJB-C has 15.7 million pairs, so a parser in C and no loop over lines."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=None, **options)
    except (pd.errors.ParserError, ValueError) as error:
        raise RecfaceError(f"{path}: not a readable pair list ({one_line(error, 100)})") from None


def _labels(path: Path, table: pd.DataFrame) -> pd.Series:
    label = table["same"].str.strip().str.lower().map(dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False))
    if (bad := label.isna().to_numpy()).any():
        row = table.iloc[int(np.flatnonzero(bad)[0])]
        raise RecfaceError(f"{path}: line {row['line']}: same must be 1 or 0, not {row['same']!r}")
    return label.astype(bool)


def _lfw(path: Path) -> pd.DataFrame:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RecfaceError(f"{path}: not a readable pair list ({error})") from None
    filled = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    head = [int(part) for part in filled[0][1].split()]
    folds, each = (1, head[0]) if len(head) == 1 else head
    if folds != FOLDS:
        raise RecfaceError(f"{path}: line {filled[0][0]}: {folds} folds; ten folds are needed (LFW's View 2)")
    if (found := len(filled) - 1) != 2 * folds * each:
        raise RecfaceError(f"{path}: {found} pairs, but its first line announces {2 * folds * each}")
    rows = []
    for index, (number, line) in enumerate(filled[1:]):
        parts = line.split()
        expected = 3 if index % (2 * each) < each else 4
        numbers = parts[1::2] if expected == 4 else parts[1:]
        if len(parts) != expected or not all(part.isdigit() for part in numbers):
            raise RecfaceError(f"{path}: line {number}: not of the form of LFW's pairs.txt: {line[:60]!r}")
        names = (parts[0], parts[0]) if expected == 3 else (parts[0], parts[2])
        first, second = (f"{name}_{int(digits):04d}" for name, digits in zip(names, numbers, strict=True))
        rows.append((first, second, expected == 3, index // (2 * each), number))
    return pd.DataFrame(rows, columns=["first", "second", "same", "fold", "line"])


MANIFEST = "manifest.csv"
PAIR_LISTS = ("pairs.csv", "pairs.txt")


def read_truth(path: str | Path, protocol: BenchmarkProtocol) -> Truth:
    """Read what a protocol compares predictions with.

    Args:
        path: A manifest (CSV with a column `id` and the protocol's columns); or, for protocols on photo pairs, a pair
            list alone; or a folder with manifest.csv and, for protocols on pairs, pairs.csv or pairs.txt.
        protocol: Whose columns and pairs must be there.

    Returns:
        The truth. For a pair list alone the table has the ids that occur in it. Pairs are given by ids (or template
        names) here; `match` turns them into rows.

    Raises:
        RecfaceError: A file or column is missing, an id is there twice, a value is empty or not a number, the list's
            length is not the protocol's, or it names something the manifest does not.
    """
    path = Path(path)
    if not path.exists():
        raise RecfaceError(f"--data {path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    manifest = path if path.is_file() else folder / MANIFEST
    pair_list, pairs, alone = None, None, False
    if protocol.pairs is not None:
        lists = [path] if path.is_file() and not protocol.columns else [folder / name for name in PAIR_LISTS]
        pair_list = next((file for file in lists if file.is_file()), None)
        if pair_list is None:
            raise RecfaceError(f"--data {path}: {protocol.id} needs a pair list: {' or '.join(PAIR_LISTS)} in {folder}")
        alone = not protocol.columns and (pair_list == path or not manifest.is_file())
    if not alone and not manifest.is_file():
        raise RecfaceError(f"--data {path}: no manifest {manifest}; {protocol.id} needs one")
    if pair_list is not None:
        pairs = read_pairs(pair_list, protocol.folds)
        if protocol.pairs and len(pairs) != protocol.pairs:
            own = f"; for a list of your own take pairs-{protocol.id.partition('-')[2]}" if protocol.folds else ""
            raise RecfaceError(
                f"{pair_list}: {len(pairs):,} pairs, the list of {protocol.id} has {protocol.pairs:,}{own}"
            )
    if pairs is not None and alone:
        ids = pd.unique(pd.concat([pairs["first"], pairs["second"]]))
        return Truth(pd.DataFrame({"id": ids}), pairs=pairs, folder=folder, where=str(pair_list))
    table = _table(manifest, protocol)
    if pairs is not None:
        name = "template" if protocol.templates else "id"
        for column in ("first", "second"):
            if (unknown := ~pairs[column].isin(table[name])).any():
                row = pairs[unknown].iloc[0]
                raise RecfaceError(f"{pair_list}: line {row['line']}: {name} {row[column]} is not in {manifest}")
    return Truth(table, pairs=pairs, folder=folder, where=str(manifest))


def _table(path: Path, protocol: BenchmarkProtocol) -> pd.DataFrame:
    table = read_text_table(path, ("id", *protocol.columns), protocol.id)
    unique_ids(table, path)
    for name in protocol.numbers:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if (bad := ~np.isfinite(numbers)).any():
            row = int(np.flatnonzero(bad)[0])
            raise RecfaceError(
                f"{path}: line {line_of(table, row)}: {name} must be a number, not {table[name].iloc[row]!r}"
            )
        table[name] = numbers
    return table


@dataclass(frozen=True)
class Matched:
    """Predictions and truth of the same samples in the same order.

    Left out are `missing` samples of the manifest without a prediction, the `missing_pairs` that name them, and
    `unused` predictions that the pair list does not name.
    """

    predictions: Predictions
    truth: Truth
    missing: int = 0
    missing_pairs: int = 0
    unused: int = 0


def match(predictions: Predictions, truth: Truth, protocol: BenchmarkProtocol, allow_missing: bool = False) -> Matched:
    """Bring predictions into the order of the manifest, and pairs from ids to rows.

    With `allow_missing`, samples without a prediction are left out and counted; else they are an error.

    Raises:
        RecfaceError: The protocol needs a field that is not there; an id is unknown to the manifest; a prediction is
            missing; or nothing is left.
    """
    protocol.require_needs(predictions)
    wanted, ids = truth.table["id"], pd.Index(predictions.ids)
    unused = np.flatnonzero(~ids.isin(wanted))
    only_pairs = set(truth.table.columns) == {"id"}  # a list of pairs does not claim to know every photo
    if len(unused) and not only_pairs:
        raise RecfaceError(
            f"{predictions.where}: row {unused[0]}: id {ids[unused[0]]} is not in {truth.where} "
            f"({len(unused)} such ids of {len(ids)})"
        )
    order = ids.get_indexer(wanted)
    present = order >= 0
    missing = wanted[~present].tolist()
    if not present.any():
        raise RecfaceError(
            f"{predictions.where}: none of its ids is in {truth.where} (the first is {missing[0]} there)"
        )
    if missing and not allow_missing:
        raise RecfaceError(
            f"{predictions.where}: no prediction for id {missing[0]} of {truth.where} ({len(missing)} of {len(wanted)} "
            "are missing); give them, or --allow-missing to leave these out and count them"
        )
    table = truth.table[present]  # with its index, which messages name lines by
    pairs = truth.pairs
    if pairs is not None:
        names = table["template" if protocol.templates else "id"]
        pairs = pairs[pairs["first"].isin(names) & pairs["second"].isin(names)].reset_index(drop=True)
        if not len(pairs):
            raise RecfaceError(f"{truth.where}: no pair is left whose both sides were predicted")
        if not protocol.templates:
            row_of = pd.Index(names).get_indexer
            pairs = pairs.assign(first=row_of(pairs["first"]), second=row_of(pairs["second"]))
    lost = 0 if truth.pairs is None or pairs is None else len(truth.pairs) - len(pairs)
    matched_truth = replace(truth, table=table, pairs=pairs)
    return Matched(take(predictions, order[present]), matched_truth, len(missing), lost, len(unused))


def take(predictions: Predictions, rows: np.ndarray) -> Predictions:
    """Some predictions, in a given order; arrays that are in this order already are not copied."""
    if np.array_equal(rows, np.arange(len(predictions))):
        return predictions
    fields = {name: values[rows] for name in PER_SAMPLE if (values := getattr(predictions, name)) is not None}
    return replace(predictions, ids=tuple(predictions.ids[row] for row in rows), **fields)
