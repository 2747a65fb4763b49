"""Manifests: what is known about each sample, and which pairs a protocol compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.metrics.protocols.base import BenchmarkProtocol, Truth
from recface.metrics.readers.checks import require_unique
from recface.metrics.readers.pairs import read_pairs
from recface.text_table import line_of, read_text_table

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
        RecfaceError: A file or column is missing, an id is there twice, a value is empty or no number, the list's
            length is not the protocol's, or it names something the manifest does not.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    manifest, pair_list = _files(path, protocol)
    pairs = None
    if pair_list is not None:
        pairs = read_pairs(pair_list, folds="10fold" in protocol.id)
        if protocol.pairs and len(pairs) != protocol.pairs:
            raise RecfaceError(
                f"{pair_list}: {len(pairs):,} pairs, the list of {protocol.id} has {protocol.pairs:,}; "
                f"for a list of your own take pairs-{protocol.id.partition('-')[2]}"
            )
    if manifest is None:
        assert pairs is not None
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


def _files(path: Path, protocol: BenchmarkProtocol) -> tuple[Path | None, Path | None]:
    """The manifest and the pair list."""
    needs_pairs = protocol.pairs is not None
    if not path.exists():
        raise RecfaceError(f"--data {path}: no such file or folder")
    if path.is_file() and needs_pairs and not protocol.columns:
        return None, path
    folder = path if path.is_dir() else path.parent
    manifest = path if path.is_file() else folder / MANIFEST
    pair_list = next((folder / name for name in PAIR_LISTS if (folder / name).is_file()), None) if needs_pairs else None
    if needs_pairs and pair_list is None:
        raise RecfaceError(f"--data {path}: {protocol.id} needs a pair list: {' or '.join(PAIR_LISTS)} in {folder}")
    if not manifest.is_file():
        if needs_pairs and not protocol.columns:
            return None, pair_list
        raise RecfaceError(f"--data {path}: no manifest {manifest}; {protocol.id} needs one")
    return manifest, pair_list


def _table(path: Path, protocol: BenchmarkProtocol) -> pd.DataFrame:
    table = read_text_table(path, ("id", *protocol.columns), protocol.id)
    require_unique(table["id"].tolist(), str(path), lambda row: f"line {line_of(table, row)}")
    for name in protocol.columns:
        if name in protocol.numbers:
            numbers = pd.to_numeric(table[name], errors="coerce")
            if (bad := ~np.isfinite(numbers)).any():
                row = int(np.flatnonzero(bad)[0])
                raise RecfaceError(
                    f"{path}: line {line_of(table, row)}: {name} is {table[name].iloc[row]!r}, not a number"
                )
            table[name] = numbers
    return table
