"""Metrics of finished runs, computed again from their stored predictions and compared with their records.

Stored predictions of runs as any method's predictions, and all numbers that they determine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.npz import LEARNED_FILE
from recface.metrics.protocols import (
    BENCHMARKS,
    CONDITION_PROTOCOLS,
    PHOTO_PROTOCOLS,
    PROTOCOLS,
    BenchmarkProtocol,
    Predictions,
    Protocol,
    Truth,
)
from recface.metrics.readers import match
from recface.metrics.readers.predictions import Region, read_region, with_region
from recface.results.records import Entry
from recface.tracking.archive import read_arrays
from recface.tracking.record import RunRecord, read_record

if TYPE_CHECKING:
    from torch import Tensor

    from recface.metrics import MeasuredShapes

BLOCKS = {"benchmark": PROTOCOLS, "conditions": CONDITION_PROTOCOLS, "photos": PHOTO_PROTOCOLS}
FLAG = "condition_"
"""Beginning of the names of arrays that say which test photos are under a condition."""
TWICE = {"truth_rank1": "rank1"}
"""Metrics that older records hold under a second name."""
PARTS = {
    "test": ("benchmark", "benchmark-shapes/v1"),
    "control_shape": ("benchmark", "benchmark-control-shape/v1"),
    "control_albedo": ("benchmark", "benchmark-control-albedo/v1"),
    "photos": ("photos", "benchmark-photos/v1"),
}
"""Prefix of the arrays to the record's block and the protocol that makes its numbers."""


def is_whole(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether every mode was kept: where not, metrics in which each mode counts alike are others."""
    return int(arrays.get("modes_kept", 0)) == int(arrays.get("modes_total", 0))


def rows_of_people(people: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Row of (P,) `people`, each once and in any order, that is the person of each of the (N,) photos."""
    order = np.argsort(people)
    return order[np.searchsorted(people, identity, sorter=order)]


def has_own_model(record: RunRecord) -> bool:
    """Whether stored parameters are of a face model that belongs to the run alone: learned, or spanning vertices."""
    baseline = record.config.get("baselines", {}).get("method")
    return "sfm" in record.config or (
        baseline == "imported" and "param_energy" not in record.metrics.get("benchmark", {})
    )


def run_model(record: RunRecord, folder: Path) -> tuple[str, str | None]:
    """Name and path of the face model that a run's stored parameters are parameters of.

    Args:
        record: Of the run.
        folder: Where its files lie.

    Raises:
        RecfaceError: The run has one of its own, and it is not there: archived copies leave it out.
    """
    if (folder / LEARNED_FILE).is_file():
        return "npz", str(folder / LEARNED_FILE)
    if has_own_model(record):
        raise RecfaceError(f"the run's own face model is not there ({LEARNED_FILE}; archived copies lack it)")
    used = record.config.get("face_model", {})
    return str(used.get("name", "")), used.get("path")


def run_predictions(
    arrays: Mapping[str, np.ndarray], part: str, where: str, learned: bool = False
) -> tuple[Predictions, Truth]:
    """One part of a run's predictions.npz, as any method's predictions and manifest.

    Args:
        arrays: Content of predictions.npz.
        part: A key of `PARTS`.
        where: Its path, for messages.
        learned: Whether the parameters are of a face model that the run learned: the truth that is stored with them is
            what that model can make of it, and no truth to measure against.

    Returns:
        Predictions with parameters and weights, and their truth.

    Raises:
        RecfaceError: The part is not stored.
    """
    import pandas as pd

    if f"{part}_parameters" not in arrays:
        raise RecfaceError(f"{where}: holds no {part}_parameters")
    parameters = np.asarray(arrays[f"{part}_parameters"], np.float32)
    ids = [f"{part}-{row:05d}" for row in range(len(parameters))]
    columns: dict[str, Any] = {"id": ids, "identity": arrays[f"{part}_identity"].astype(np.int64)}
    if part == "photos":
        columns["expression"] = np.where(arrays["photos_expression"], "neutral", "other")
    elif part != "test":
        columns["albedo"] = arrays[f"{part}_group"].astype(np.int64)
    elif "test_true" in arrays and not learned:
        true = arrays["test_true"][rows_of_people(arrays["test_people"].astype(np.int64), columns["identity"])]
        columns |= {f"true_{k + 1}": true[:, k].astype(np.float32) for k in range(true.shape[1])}
    for name in ("yaw_abs", "expression_norm"):  # of the test set; runs before these were stored lack them
        if f"{part}_{name}" in arrays:
            columns[name] = arrays[f"{part}_{name}"].astype(np.float32)
    predictions = Predictions(
        tuple(ids), parameters=parameters, weights=np.asarray(arrays["identity_sigma"], np.float32), where=where
    )
    return predictions, Truth(pd.DataFrame(columns), where=where)


def read_test_set(
    arrays: Mapping[str, np.ndarray], basis: Tensor, sigma: Tensor, mean: np.ndarray | None = None
) -> MeasuredShapes:
    """The test set of stored predictions, with the errors as they are stored.

    Args:
        arrays: Content of predictions.npz.
        basis: (M, 3, K) mm of the face region.
        sigma: (K,) mm.
        mean: (M, 3) mm of the region, where the stored truth is of its face model; None measures nothing against it.
    """
    import torch

    from recface.metrics import MeasuredShapes

    def column(name: str) -> Tensor | None:
        return torch.from_numpy(arrays[name].astype(np.float32)) if name in arrays else None

    identity, true = arrays["test_identity"].astype(np.int64), None
    if mean is not None and "test_true" in arrays:
        rows = rows_of_people(arrays["test_people"].astype(np.int64), identity)
        true = torch.from_numpy(arrays["test_true"][rows].astype(np.float32))
    return MeasuredShapes(
        torch.from_numpy(arrays["test_parameters"].astype(np.float32)),
        torch.from_numpy(identity),
        sigma,
        basis,
        None if mean is None else torch.from_numpy(mean),
        true,
        yaw_abs=column("test_yaw_abs"),
        expression_norm=column("test_expression_norm"),
        errors=column("test_shape_error"),
        nme=column("test_nme"),
    ).checked()


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
    flags = {name.removeprefix(FLAG): array for name, array in arrays.items() if name.startswith(FLAG)}
    if flags and "test_shape_error" in arrays:
        blocks["conditions"] = _under(arrays, flags, region)
    return blocks


def _under(arrays: Mapping[str, np.ndarray], flags: Mapping[str, np.ndarray], region: Region) -> dict[str, float]:
    """Metrics of the test photos under each condition."""
    import torch

    shapes = read_test_set(arrays, torch.from_numpy(region.basis), torch.from_numpy(region.sigma))
    values = shapes.under({name: torch.from_numpy(chosen) for name, chosen in flags.items()})
    return {key: float(value) for key, value in values.items()}


def read_run(folder: Path, protocol: BenchmarkProtocol, region: Region | None) -> tuple[Predictions, Truth, Region]:
    """The predictions of a run as any method's, with the truth that they hold.

    Args:
        folder: Of the run.
        protocol: Says which part is meant: a control set, the photographs, or else the test set.
        region: In place of the run's own face model's.

    Returns:
        Predictions, truth, and the region of the run's face model.

    Raises:
        RecfaceError: There is no predictions.npz, it lacks the part, or the face model cannot be had.
    """
    record, path = read_record(folder), folder / "predictions.npz"
    if not path.is_file():
        raise RecfaceError(f"{folder}: no predictions.npz; the run is {record.state}")
    arrays = read_arrays(path)
    part = next((name for name, (_, id) in PARTS.items() if id == protocol.id), "test")
    region = region or read_region(*run_model(record, folder))
    return *run_predictions(arrays, part, str(path), has_own_model(record)), region


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
        region = regions[key]
        if isinstance(region, str):
            _skip(result, f"runs whose face model cannot be had: {region}")
            continue
        values = recompute(arrays, region, str(path), has_own_model(record))
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
        metric = TWICE.get(metric, metric) if metric not in columns else metric
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
