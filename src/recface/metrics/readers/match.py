"""Predictions and pairs in the order of the truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth
from recface.metrics.readers.checks import PER_SAMPLE

ENDING = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|obj|ply|npy|mat)$", re.IGNORECASE)


@dataclass(frozen=True)
class Matched:
    """Predictions and truth of the same samples in the same order.

    Left out are `missing` samples of the manifest without a prediction, the `missing_pairs` that name them, and
    `unused` predictions that the list does not name.
    """

    predictions: Predictions
    truth: Truth
    missing: int = 0
    missing_pairs: int = 0
    unused: int = 0


def match(
    predictions: Predictions,
    truth: Truth,
    protocol: BenchmarkProtocol,
    allow_missing: bool = False,
    allow_unused: bool = False,
) -> Matched:
    """Bring predictions into the order of the manifest, and pairs from ids to rows.

    Ids are compared as in `alike`. With `allow_missing`, samples without a prediction are left out and counted; else
    they are an error; so with `allow_unused`, as of a benchmark's own list, predictions that it does not name.

    Raises:
        RecfaceError: The protocol needs a field that is not there; an id is unknown to the manifest; a prediction is
            missing; or nothing is left.
    """
    protocol.require_needs(predictions)
    wanted, ids = truth.table["id"], pd.Index(alike(predictions.ids, truth.table["id"]))
    unused = np.flatnonzero(~ids.isin(wanted))
    only_pairs = set(truth.table.columns) == {"id"}  # a list of pairs does not claim to know every photo
    if len(unused) and not (only_pairs or allow_unused):
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


def parts_of(name: str) -> tuple[str, ...]:
    """Folders and name of an id, less the ending of an image or mesh: ("a", "b") of "a/b.jpg"."""
    parts = ENDING.sub("", name.replace("\\", "/")).split("/")
    return tuple(part for part in parts if part not in ("", ".")) or (name,)


def alike(ids: Sequence[str], wanted: Sequence[str] | pd.Series) -> list[str]:
    """Ids in the words of those wanted: folders before the name, and its ending, may be missing on either side.

    One that is wanted as it is stays, as does one that means none of them, or several.

    Raises:
        RecfaceError: Two ids mean the same.
    """
    known = set(wanted)
    if known.issuperset(ids):
        return list(ids)
    whole: dict[tuple[str, ...], str | None] = {}
    ends: dict[tuple[str, ...], str | None] = {}
    for name in known:
        parts = parts_of(name)
        whole[parts] = None if parts in whole else name
        for start in range(1, len(parts)):
            ends[parts[start:]] = None if parts[start:] in ends else name

    def meant(name: str) -> str:
        parts = parts_of(name)
        longest = next((parts[start:] for start in range(len(parts)) if parts[start:] in whole), None)
        return (whole[longest] if longest else ends.get(parts)) or name

    taken = {name: name for name in ids if name in known}
    found = []
    for name in ids:
        word = name if name in known else meant(name)
        if word in known and taken.setdefault(word, name) != name:
            raise RecfaceError(f"predictions {taken[word]} and {name} both are of {word}; give one")
        found.append(word)
    return found


def take(predictions: Predictions, rows: np.ndarray) -> Predictions:
    """Some predictions, in a given order; arrays that are in this order already are not copied."""
    if np.array_equal(rows, np.arange(len(predictions))):
        return predictions
    fields = {name: values[rows] for name in PER_SAMPLE if (values := getattr(predictions, name)) is not None}
    return replace(predictions, ids=tuple(predictions.ids[row] for row in rows), **fields)
