"""Predictions and truth brought together: the same samples, in the same order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth


@dataclass(frozen=True)
class Matched:
    """What a protocol is given.

    Attributes:
        predictions: N predictions.
        truth: N rows in their order.
        missing: Samples of the manifest without a prediction, left out.
        missing_pairs: Pairs left out with them.
        unused: Predictions that the pair list does not name.
    """

    predictions: Predictions
    truth: Truth
    missing: int = 0
    missing_pairs: int = 0
    unused: int = 0


def match(predictions: Predictions, truth: Truth, protocol: BenchmarkProtocol, allow_missing: bool = False) -> Matched:
    """Bring predictions into the order of the manifest, and pairs from ids to rows.

    Args:
        predictions: As read.
        truth: As read.
        protocol: Whose needs must be there.
        allow_missing: Leave out samples without a prediction, and count them; else they are an error.

    Returns:
        Both sides.

    Raises:
        RecfaceError: The protocol needs a field that is not there; an id is unknown to the manifest; a prediction is
            missing; or nothing is left.
    """
    _require_needs(predictions, protocol)
    known = {name: row for row, name in enumerate(truth.table["id"])}
    rows = {name: row for row, name in enumerate(predictions.ids)}
    only_pairs = set(truth.table.columns) == {"id"}  # a list of pairs does not claim to know every photo
    unused = [name for name in predictions.ids if name not in known]
    if unused and not only_pairs:
        raise RecfaceError(
            f"{predictions.where}: row {rows[unused[0]]}: id {unused[0]} is not in {truth.where} "
            f"({len(unused)} such ids of {len(rows)})"
        )
    missing = [name for name in known if name not in rows]
    if len(missing) == len(known):
        raise RecfaceError(
            f"{predictions.where}: none of its ids is in {truth.where} (the first is {missing[0]} there)"
        )
    if missing and not allow_missing:
        raise RecfaceError(
            f"{predictions.where}: no prediction for id {missing[0]} of {truth.where} ({len(missing)} of {len(known)} "
            "are missing); give them, or --allow-missing to leave these out and count them"
        )
    present = np.array([name in rows for name in known])
    table = truth.table[present]  # with its index, which messages name lines by
    order = np.array([rows[name] for name in table["id"]])
    pairs, lost = _pairs(truth, table, protocol)
    matched_truth = replace(truth, table=table, pairs=pairs)
    return Matched(take(predictions, order), matched_truth, len(missing), lost, len(unused))


def _pairs(truth: Truth, table, protocol: BenchmarkProtocol):
    """The pairs whose both sides are left, as rows of the table or as template names; and how many are not."""
    if truth.pairs is None:
        return None, 0
    names = table["template" if protocol.templates else "id"]
    kept = truth.pairs[truth.pairs["first"].isin(names) & truth.pairs["second"].isin(names)].reset_index(drop=True)
    if not len(kept):
        raise RecfaceError(f"{truth.where}: no pair is left whose both sides were predicted")
    if not protocol.templates:
        row = {name: index for index, name in enumerate(names)}
        kept = kept.assign(first=kept["first"].map(row), second=kept["second"].map(row))
    return kept, len(truth.pairs) - len(kept)


def take(predictions: Predictions, rows: np.ndarray) -> Predictions:
    """Some predictions, in a given order; arrays that are in this order already are not copied."""
    if np.array_equal(rows, np.arange(len(predictions))):
        return predictions
    fields = {
        name: values[rows]
        for name in ("parameters", "vertices", "points", "landmarks")
        if (values := getattr(predictions, name)) is not None
    }
    return replace(predictions, ids=tuple(predictions.ids[row] for row in rows), **fields)


def _require_needs(predictions: Predictions, protocol: BenchmarkProtocol) -> None:
    for need in protocol.needs:
        if getattr(predictions, need) is not None:
            continue
        if need == "vertices" and predictions.basis is not None and predictions.parameters is not None:
            continue
        hint = ""
        if need == "vertices" and predictions.parameters is not None:
            hint = "; or name the face model of the parameters (--face-model)"
        raise RecfaceError(f"{predictions.where}: {protocol.id} needs {need}, which it does not hold{hint}")
