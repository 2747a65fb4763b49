"""Metrics of finished runs, computed again from their stored predictions and compared with their records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols import Protocol
from recface.metrics.readers.face_model import Region, read_region
from recface.results.load import Entry
from recface.results.photo_values import is_whole
from recface.results.stored import BLOCKS, has_own_model, recompute, run_model
from recface.tracking.archive import read_arrays

SMOOTH_BOUND = {"float32": 1e-5, "float16": 1e-4}
COUNTED_BOUND = {"float32": 1e-3, "float16": 4e-3}
COUNTED = ("_acc", "_tar", "rank1", "_decoded")
"""Metrics that count photos or pairs beside a threshold, and so move by whole ones."""


@dataclass
class Comparison:
    """One metric over all runs.

    Attributes:
        block: Block of the records.
        metric: Its key.
        runs: How many records were compared.
        largest: The largest difference found, as a share of what rounding explains it is `largest / bound`.
        bound: What rounding of the stored predictions explains, for the run of the largest share.
        where: That run.
    """

    block: str
    metric: str
    runs: int = 0
    largest: float = 0.0
    bound: float = 0.0
    where: str = ""

    @property
    def off(self) -> bool:
        """Whether rounding does not explain the difference."""
        return self.largest > self.bound


@dataclass
class Recomputed:
    """What came out of comparing all runs.

    Attributes:
        comparisons: One a metric.
        values: Run to block to metric to value, as computed again.
        skipped: What was not compared, with the reason, and how many times.
    """

    comparisons: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


def run_name(entry: Entry) -> str:
    """Experiment, hash and seed of a run."""
    return f"{entry.record.experiment}/{entry.record.hash}/seed={entry.record.seed}"


def compare_runs(entries: Iterable[Entry], paths: Mapping[str, str] | None = None) -> Recomputed:
    """Compute every finished run's metrics again and compare them with its record.

    Args:
        entries: Runs, as `find_records` finds them.
        paths: Face model name to the path of its data, where it is not the path that the run used.

    Returns:
        The comparison.

    Raises:
        RecfaceError: A run's predictions cannot be read.
    """
    result = Recomputed()
    regions: dict[tuple[str, str | None], Region | str] = {}
    for entry in entries:
        record = entry.record
        if record.state != "finished":
            _skip(result, f"runs that are not finished ({record.state})")
            continue
        own = entry.path.parent / "predictions.npz"  # tables read the archived copy, which is rounded
        path = own if own.is_file() else entry.predictions
        if path is None:
            _skip(result, "runs without predictions (such as the shared first stage)")
            continue
        arrays = read_arrays(path)
        if not is_whole(arrays):
            _skip(result, "archived runs of which only the leading modes are kept")
            continue
        try:
            name, stored_path = run_model(record, entry.path.parent)
        except RecfaceError as error:
            _skip(result, f"runs of which {error}")
            continue
        key = (name, (paths or {}).get(name) or stored_path)
        if key not in regions:
            try:
                regions[key] = read_region(*key)
            except RecfaceError as error:
                regions[key] = str(error)
        if isinstance(regions[key], str):
            _skip(result, f"runs whose face model cannot be had: {regions[key]}")
            continue
        values = recompute(arrays, regions[key], str(path), has_own_model(record))
        result.values[run_name(entry)] = values
        stored_as = arrays["test_parameters"].dtype.name
        for block, columns in BLOCKS.items():
            _compare(result, entry, block, columns, values.get(block, {}), stored_as)
    return result


def _skip(result: Recomputed, reason: str) -> None:
    result.skipped[reason] = result.skipped.get(reason, 0) + 1


def _compare(
    result: Recomputed,
    entry: Entry,
    block: str,
    columns: Mapping[str, Protocol],
    values: Mapping[str, float],
    stored: str,
) -> None:
    for metric, recorded in entry.record.metrics.get(block, {}).items():
        if metric not in values:
            _skip(
                result,
                f"{metric}: its inputs are not stored (early runs, learned face models, archived copies)",
            )
            continue
        if metric in columns and entry.record.protocol(block, metric) != columns[metric].id:
            _skip(result, f"{metric}: recorded under {entry.record.protocol(block, metric)}, now {columns[metric].id}")
            continue
        found = values[metric]
        number = float("nan") if recorded is None else float(recorded)
        if np.isnan(found) or np.isnan(number):
            difference = 0.0 if np.isnan(found) and np.isnan(number) else float("inf")
        else:
            difference = abs(found - number)
        bound = rounding_bound(metric, number, stored)
        comparison = result.comparisons.setdefault((block, metric), Comparison(block, metric))
        comparison.runs += 1
        if not comparison.where or difference / bound > comparison.largest / comparison.bound:
            comparison.largest, comparison.bound, comparison.where = difference, bound, run_name(entry)


def rounding_bound(metric: str, value: float, stored: str) -> float:
    """How far a metric may move because its predictions were stored rounded.

    Rounding to float16 moves each parameter by at most 2^-11 of itself, at random, so that means over photos move far
    less. On the archived runs of the embedded ablation the largest move was under half of these bounds.

    Args:
        metric: Its key.
        value: Its recorded value.
        stored: Type of the stored predictions, "float16" or "float32".

    Returns:
        An absolute bound. Smooth metrics are bound relative to their value, where that is above 1.
    """
    if metric.endswith(COUNTED):
        return COUNTED_BOUND[stored]
    return SMOOTH_BOUND[stored] * max(1.0, abs(value) if np.isfinite(value) else 1.0)
