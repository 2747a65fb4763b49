"""Truth of a protocol: its manifest and its pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.files.tables import line_of, read_table
from recface.metrics.protocols.protocol import BenchmarkProtocol, Truth
from recface.metrics.readers.checks import unique_ids
from recface.metrics.readers.pairs import read_pairs

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
        require_length(pairs, protocol, str(pair_list))
    if pairs is not None and alone:
        return truth_of_pairs(pairs, folder, str(pair_list))
    table = _table(manifest, protocol)
    if pairs is not None:
        name = "template" if protocol.templates else "id"
        for column in ("first", "second"):
            if (unknown := ~pairs[column].isin(table[name])).any():
                row = pairs[unknown].iloc[0]
                raise RecfaceError(f"{pair_list}: line {row['line']}: {name} {row[column]} is not in {manifest}")
    return Truth(table, pairs=pairs, folder=folder, where=str(manifest))


def require_length(pairs: pd.DataFrame, protocol: BenchmarkProtocol, where: str) -> None:
    """Raise RecfaceError for a list of another length than the protocol's."""
    if protocol.pairs and len(pairs) != protocol.pairs:
        own = f"; for a list of your own take pairs-{protocol.id.partition('-')[2]}" if "10fold" in protocol.id else ""
        raise RecfaceError(f"{where}: {len(pairs):,} pairs, the list of {protocol.id} has {protocol.pairs:,}{own}")


def truth_of_pairs(pairs: pd.DataFrame, folder: Path, where: str) -> Truth:
    """The truth of pairs alone: its table has the ids that occur in them."""
    ids = pd.unique(pd.concat([pairs["first"], pairs["second"]]))
    return Truth(pd.DataFrame({"id": ids}), pairs=pairs, folder=folder, where=where)


def _table(path: Path, protocol: BenchmarkProtocol) -> pd.DataFrame:
    table = read_table(path, ("id", *protocol.columns), protocol.id)
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
