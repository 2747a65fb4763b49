"""Metrics of finished runs, computed again from their stored predictions and compared with their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from recface.errors import RecfaceError
from recface.files.arrays import read_arrays
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.readers import match
from recface.metrics.readers.region import Region, read_region, with_region
from recface.results.evaluate import COLUMNS, PARTS, has_own_model, run_model, run_predictions
from recface.results.records import Entry

TWICE = {"truth_rank1": "rank1"}
"""Metrics that older records hold under a second name."""
SMOOTH_BOUND = {"float32": 1e-5, "float16": 1e-4}
COUNTED_BOUND = {"float32": 1e-3, "float16": 4e-3}
COUNTED = ("_acc", "_tar", "rank1", "_decoded")
"""Metrics that count photos or pairs beside a threshold, and so move by whole ones."""


def recompute(
    arrays: Mapping[str, np.ndarray], region: Region, where: str, learned: bool = False
) -> dict[str, dict[str, float]]:
    """All numbers of a run that its predictions determine.

    Args:
        arrays: Content of predictions.npz.
        region: The face region of the run's face model.
        where: Its path, for messages.
        learned: As for `run_predictions`.

    Returns:
        Block to metric to value.
    """
    blocks: dict[str, dict[str, float]] = {}
    for part, (block, protocol) in PARTS.items():
        if f"{part}_parameters" not in arrays:
            continue
        predictions, truth = run_predictions(arrays, part, where, learned)
        # The stored weights are float32 and may be the model's leading modes: the model's own are taken.
        predictions = with_region(replace(predictions, weights=None), region)
        matched = match(predictions, truth, BENCHMARKS[protocol])
        blocks.setdefault(block, {}).update(BENCHMARKS[protocol].evaluate(matched.predictions, matched.truth))
    if "test_nme" in arrays:  # landmarks are not stored, only each photo's error
        blocks.setdefault("benchmark", {})["nme"] = float(arrays["test_nme"].astype(np.float64).mean())
    if "test_shape_error" in arrays and any(name.startswith("condition_") for name in arrays):
        blocks["conditions"] = _under_conditions(arrays, region)
    return blocks


def _under_conditions(arrays: Mapping[str, np.ndarray], region: Region) -> dict[str, float]:
    """Metrics of the test photos under each condition, with the errors as they are stored."""
    import torch

    from recface.metrics import MeasuredShapes

    names = ("test_parameters", "test_shape_error", "test_nme")
    stored = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in names if name in arrays}
    shapes = MeasuredShapes(
        stored["test_parameters"],
        torch.from_numpy(arrays["test_identity"].astype(np.int64)),
        torch.from_numpy(region.sigma),
        torch.from_numpy(region.basis),
        errors=stored["test_shape_error"],
        nme=stored.get("test_nme"),
    )
    flags = {name: torch.from_numpy(flag) for name, flag in arrays.items() if name.startswith("condition_")}
    values = shapes.checked().under({name.removeprefix("condition_"): flag for name, flag in flags.items()})
    return {key: float(value) for key, value in values.items()}


@dataclass
class Comparison:
    """One metric over all runs."""

    block: str  # block of the records
    metric: str  # its key
    runs: int = 0  # how many records were compared
    largest: float = 0.0  # the difference of the run in which it is the largest share of `bound`
    bound: float = 0.0  # what rounding of the stored predictions explains in that run
    where: str = ""  # that run

    @property
    def off(self) -> bool:
        """Whether rounding does not explain the difference."""
        return self.largest > self.bound


@dataclass
class Recomputed:
    """Comparison of all runs with their records."""

    comparisons: dict[tuple[str, str], Comparison] = field(default_factory=dict)  # one a metric
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Run to block to metric to value, as computed again."""
    skipped: Counter[str] = field(default_factory=Counter)  # what was not compared, with the reason, and how many times


def compare_runs(entries: Iterable[Entry], paths: Mapping[str, str] | None = None) -> Recomputed:
    """Compute every finished run's metrics again and compare them with its record.

    Args:
        entries: Runs, as `find_records` finds them.
        paths: Face model name to the path of its data, where it is not the path that the run used.

    Raises:
        RecfaceError: A run's predictions cannot be read.
    """
    result, region_of = Recomputed(), cache(read_region)
    for entry in entries:
        record, own = entry.record, entry.path.parent / "predictions.npz"
        path = own if own.is_file() else entry.predictions  # tables read the archived copy, which is rounded
        if record.state != "finished":
            result.skipped[f"runs that are not finished ({record.state})"] += 1
            continue
        if path is None:
            result.skipped["runs without predictions (such as the shared first stage)"] += 1
            continue
        arrays = read_arrays(path)
        if int(arrays.get("modes_kept", 0)) < int(arrays.get("modes_total", 0)):
            result.skipped["archived runs of which only the leading modes are kept"] += 1
            continue
        try:
            name, stored_path = run_model(record, entry.path.parent)
            region = region_of(name, (paths or {}).get(name) or stored_path)
        except RecfaceError as error:
            result.skipped[f"runs whose face model cannot be had: {error}"] += 1
            continue
        values = recompute(arrays, region, str(path), has_own_model(record))
        run = f"{record.experiment}/{record.hash}/seed={record.seed}"
        result.values[run] = values
        for block in COLUMNS:
            _compare(result, entry, run, block, values.get(block, {}), arrays["test_parameters"].dtype.name)
    return result


def _compare(
    result: Recomputed, entry: Entry, run: str, block: str, values: Mapping[str, float], stored_as: str
) -> None:
    columns = COLUMNS[block]
    for metric, recorded in entry.record.metrics.get(block, {}).items():
        metric = TWICE.get(metric, metric) if metric not in columns else metric
        if metric not in values:
            reason = "its inputs are not stored (early runs, learned face models, archived copies)"
            result.skipped[f"{metric}: {reason}"] += 1
            continue
        protocol = entry.record.protocol(block, metric)
        if metric in columns and protocol != columns[metric].id:
            result.skipped[f"{metric}: recorded under {protocol}, now {columns[metric].id}"] += 1
            continue
        number = float("nan") if recorded is None else float(recorded)
        difference = abs(values[metric] - number)
        if np.isnan(difference):
            difference = 0.0 if np.isnan(values[metric]) and np.isnan(number) else float("inf")
        bound = rounding_bound(metric, number, stored_as)
        comparison = result.comparisons.setdefault((block, metric), Comparison(block, metric))
        comparison.runs += 1
        if not comparison.where or difference / bound > comparison.largest / comparison.bound:
            comparison.largest, comparison.bound, comparison.where = difference, bound, run


def rounding_bound(metric: str, value: float, stored_as: str) -> float:
    """How far a metric of a recorded value may move because its predictions were stored as "float16" or "float32".

    Rounding to float16 moves each parameter by at most 2^-11 of itself, at random, so that means over photos move far
    less. On the archived runs of the embedded ablation the largest move was under half of these bounds. Smooth metrics
    are bound relative to their value, where that is above 1.
    """
    if metric.endswith(COUNTED):
        return COUNTED_BOUND[stored_as]
    return SMOOTH_BOUND[stored_as] * max(1.0, abs(value) if np.isfinite(value) else 1.0)
