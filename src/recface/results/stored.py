"""Stored predictions of runs as any method's predictions, and all numbers that they determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.npz import LEARNED_FILE
from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS, BenchmarkProtocol, Predictions, Truth
from recface.metrics.readers import match
from recface.metrics.readers.face_model import Region, read_region, with_region
from recface.results.photo_values import rows_of_people
from recface.tracking.archive import read_arrays
from recface.tracking.record import RunRecord, read_record

BLOCKS = {"benchmark": PROTOCOLS, "photos": PHOTO_PROTOCOLS}
PARTS = {
    "test": ("benchmark", "benchmark-shapes/v1"),
    "control_shape": ("benchmark", "benchmark-control-shape/v1"),
    "control_albedo": ("benchmark", "benchmark-control-albedo/v1"),
    "photos": ("photos", "benchmark-photos/v1"),
}
"""Prefix of the arrays to the record's block and the protocol that makes its numbers."""


def has_own_model(record: RunRecord) -> bool:
    """Whether stored parameters are of a face model that belongs to the run alone: learned, or spanning vertices."""
    peer = record.config.get("peer", {}).get("method")
    return "sfm" in record.config or (peer == "imported" and "param_energy" not in record.metrics.get("benchmark", {}))


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
    return blocks


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
