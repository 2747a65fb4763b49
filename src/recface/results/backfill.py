"""Influences and conditions of archived records that were made before evaluations stored them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols import CONDITION_PROTOCOLS
from recface.metrics.readers.predictions import Region, read_region
from recface.results.recompute import FLAG, has_own_model, is_whole, read_test_set, run_model
from recface.results.records import Entry
from recface.tracking.archive import read_arrays, small_array, zip_arrays
from recface.tracking.atomic import write_bytes, write_json

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, np.ndarray]
ALL_MODES = ("benchmark/prior_kl", "benchmark/param_energy", "benchmark/nmcd_param")
"""Metrics in which each mode counts alike: leading modes alone would make others of them."""
MEAN_DISTANCE = ("geometry_auc", "geometry_acc")
"""Metrics by mean vertex distance, which the stored Gram matrix does not determine; RMS distances it does."""


def backfill(entries: Iterable[Entry], paths: Mapping[str, str] | None = None) -> tuple[list[str], dict[str, int]]:
    """Compute influences and conditions of archived records from their predictions, and write them beside these.

    Recorded metrics stay as they are. Values are as exact as stored predictions: float16, of which a record of many
    modes keeps the leading ones. Where a run's own face model is not there, metrics by mean vertex distance and
    metrics against the true shape (but the errors, which are stored) get no influence.

    Args:
        entries: From `find_records`; those in results/records/ that lack either are completed.
        paths: Face model name to the path of its data, where it is not the path that the run used.

    Returns:
        Names of the records written; and why others were not, with their number.

    Raises:
        RecfaceError: A record's predictions cannot be read.
    """
    entries = [entry for entry in entries if entry.record.state == "finished"]
    flags: dict[str | None, Arrays] = {}
    for entry in entries:
        manifest = entry.record.data_manifest
        if entry.predictions is not None and not flags.get(manifest):
            flags[manifest] = read_arrays(entry.predictions, FLAG)
    written, skipped = [], dict[str, int]()
    regions: dict[tuple[str, str | None], Region] = {}
    for entry in entries:
        file = entry.path.with_suffix(".npz")
        if entry.path.name == "run.json" or not file.is_file():
            reason = "runs on disk: run them again" if entry.path.name == "run.json" else "records without predictions"
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        arrays, conditions = read_arrays(file), flags.get(entry.record.data_manifest, {})
        lacks_conditions = bool(conditions) and "conditions" not in entry.record.metrics
        if "influence_test" in arrays and not lacks_conditions:
            skipped["records that hold them already"] = skipped.get("records that hold them already", 0) + 1
            continue
        region = None
        try:
            name, path = run_model(entry.record, entry.path.parent)
            key = name, (paths or {}).get(name) or path
            region = regions[key] if key in regions else regions.setdefault(key, read_region(*key))
        except RecfaceError as error:
            if not has_own_model(entry.record):
                skipped[str(error)] = skipped.get(str(error), 0) + 1
                continue
        _complete(entry, arrays, conditions, region)
        written.append(entry.path.stem)
    return written, skipped


def _complete(entry: Entry, arrays: Arrays, conditions: Arrays, region: Region | None) -> None:
    """Measure one record's predictions and write what it lacks."""
    blocks, influences = measured_again(arrays, conditions, region, entry.record.metrics)
    kept = {name: array for name, array in arrays.items() if not name.startswith("influence_")} | conditions
    small = {name: small_array(name, array) for name, array in influences.items()}
    write_bytes(entry.path.with_suffix(".npz"), zip_arrays(kept | small))
    if conditions and "conditions" not in entry.record.metrics:
        content = json.loads(entry.path.read_text())  # as it stands, with keys that were renamed since
        content["metrics"]["conditions"] = blocks
        content["protocols"]["conditions"] = {key: CONDITION_PROTOCOLS[key].id for key in blocks}
        write_json(entry.path, content)


def measured_again(
    arrays: Arrays, conditions: Arrays, region: Region | None, recorded: Mapping[str, Mapping[str, float | None]]
) -> tuple[dict[str, float], Arrays]:
    """Metrics under conditions, and influences on all recorded metrics, from stored predictions.

    Args:
        arrays: Content of an archived predictions.npz.
        conditions: `condition_<name>` to (N,) bool of the test photos; empty where nobody knows.
        region: The face region of the run's face model; None where that is lost.
        recorded: The record's metrics.

    Returns:
        `<condition>/<metric>` to value; and influences as predictions.npz holds them.
    """
    import torch

    from recface.metrics.evaluation import measured_blocks, measured_control, measured_photos
    from recface.metrics.influence import kept_influences

    modes = arrays["test_parameters"].shape[1]
    if region is None:
        basis, sigma = basis_of_gram(arrays["basis_gram"]), torch.from_numpy(np.float32(arrays["identity_sigma"]))
    else:
        basis, sigma = (torch.from_numpy(x[..., :modes].copy()) for x in (region.basis, region.sigma))
    flags = {name.removeprefix(FLAG): torch.from_numpy(chosen) for name, chosen in conditions.items()}
    blocks, _, found = measured_blocks(
        read_test_set(arrays, basis, sigma, None if region is None else region.mean), flags
    )
    controls: tuple[Literal["shape", "albedo"], ...] = ("shape", "albedo")
    for control in controls:
        if f"control_{control}_parameters" in arrays:
            found |= measured_control(*_columns(arrays, f"control_{control}", "group"), basis, control)[1]
    if "photos_parameters" in arrays:
        found |= measured_photos(*_columns(arrays, "photos", "expression"), basis, sigma)[1]
    dropped = () if is_whole(arrays) else ALL_MODES

    def keeps(name: str) -> bool:
        block, _, metric = name.partition("/")
        known = block == "conditions" or metric in recorded.get(block, {})
        by_mean_distance = metric.endswith(MEAN_DISTANCE) or metric.startswith("control_")
        return known and name not in dropped and not (region is None and by_mean_distance)

    measured = {key: value for key, value in blocks["conditions"].items() if keeps(f"conditions/{key}")}
    return measured, kept_influences(found, keeps)


def _columns(arrays: Arrays, part: str, label: str) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters, identities and a label of each photo of a part, as tensors."""
    import torch

    parameters, identity = arrays[f"{part}_parameters"].astype(np.float32), arrays[f"{part}_identity"].astype(np.int64)
    return torch.from_numpy(parameters), torch.from_numpy(identity), torch.from_numpy(arrays[f"{part}_{label}"])


def basis_of_gram(gram: np.ndarray) -> Tensor:
    """A basis with given RMS distances, for records whose face model is lost.

    Args:
        gram: (K, K) G with d^T G d = mean squared vertex distance.

    Returns:
        (K, 3, K) mm. Mean vertex distances in it mean nothing.
    """
    import torch

    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    root = vectors * np.sqrt(np.maximum(values, 0) * len(gram))
    basis = np.zeros((len(gram), 3, len(gram)), np.float32)
    basis[:, 0] = root.T
    return torch.from_numpy(basis)
