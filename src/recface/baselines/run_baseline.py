"""A third-party baseline from its configuration to a record of the same form as a network's run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

from recface.baselines.configuration import METHODS, baseline_hash, checked_settings
from recface.baselines.run_elsewhere import Imported, without_parameter_metrics
from recface.data.workbench import open_workbench
from recface.face_model import FaceModel, save
from recface.face_model.albedo import AlbedoModel
from recface.face_model.npz import LEARNED_FILE
from recface.files.atomic import write_arrays
from recface.files.digests import photos_digest
from recface.metrics import PHOTO_PROTOCOLS, protocol_ids
from recface.metrics.influence import kept_influences
from recface.run.evaluation import Predictor, Timed, evaluate_photos, evaluate_run, open_photos
from recface.run.identity import is_complete
from recface.settings import Config
from recface.settings.overrides import own_overrides
from recface.tracking import RunFolder, new_record, run_path
from recface.tracking.config_hash import without
from recface.versions import BASELINES_VERSION, BENCHMARK_VERSION, PROTOCOL_VERSION

VERSIONS = {"benchmark": BENCHMARK_VERSION, "baselines": BASELINES_VERSION, "protocol": PROTOCOL_VERSION}


def build_baseline(
    face_model: FaceModel, albedo_model: AlbedoModel, section: Mapping[str, Any], seed: int = 0
) -> Predictor:
    """The predictor of a baseline from the configuration's section `baselines`; the seed decides all random draws.

    Raises:
        RecfaceError: As `checked_settings`, or a package is not installed.
    """
    settings = checked_settings(section)
    return import_module(METHODS[section["method"]][1]).build(face_model, albedo_model, settings, seed)


def run_baseline(config: Config, overrides: Sequence[str] = ()) -> RunFolder:
    """Evaluate the baseline of a `baseline_config` and write the record; a finished one is left as it is.

    The record keeps those overrides that name no places.

    Raises:
        RecfaceError: A mistake in configuration or data; the record then says "failed" and why.
    """
    torch.set_num_threads(config["trainer"]["threads"])
    digest = baseline_hash(config)
    folder = RunFolder.open(run_path(config["paths"]["runs"], config["name"], digest, config["seed"]))
    record = new_record(
        config["name"],
        digest,
        config["seed"],
        without(config, ("paths", "baselines.folder")),  # records name no places
        parent=config["parent"],
        overrides=own_overrides(overrides),
        versions=VERSIONS,
    )
    with folder.lock():
        if not is_complete(config, folder.record, VERSIONS):
            with folder.running(record):
                _evaluate(config, folder)
    return folder


def _evaluate(config: Config, folder: RunFolder) -> None:
    """All metrics of the benchmark, and of photographs where they are given."""
    begin = time.monotonic()
    folder.stage("evaluation")
    bench = open_workbench(config, training=False)
    folder.update(data_manifest=bench.benchmark.manifest_hash)
    photos = config["data"]["photos"]
    seen = photos_digest(photos, config["paths"]["cache"]) if photos else None
    photographs = open_photos(bench, photos) if photos else None
    baseline = build_baseline(bench.face_model, bench.benchmark.albedo_model, config["baselines"], config["seed"])
    imported = baseline if isinstance(baseline, Imported) else None
    if imported is None:
        timed, model = Timed(baseline), bench.face_model
        metrics, predictions = evaluate_run(timed, bench, model)
        timings = timed.timings
    else:
        imported.require_known_ids(bench.benchmark, photographs)
        model, timings = imported.face_model, {}  # the method took its time elsewhere
        metrics, predictions = evaluate_run(imported, bench, model, imported.covers)
    if photographs is not None and (imported is None or imported.covers(photographs)):
        metrics["photos"], found = evaluate_photos(baseline, bench, photographs, model)
        predictions |= found
    if imported is not None and not imported.own_parameters:
        save(imported.face_model, folder.path / LEARNED_FILE)
        metrics = {block: without_parameter_metrics(values) for block, values in metrics.items()}
        names = {f"{block}/{key}" for block, values in metrics.items() for key in values}
        predictions = kept_influences(predictions, names.__contains__)
    protocols: dict[str, Any] = {
        block: {key: PHOTO_PROTOCOLS[key].id for key in values} if block == "photos" else protocol_ids(values)
        for block, values in metrics.items()
    }
    write_arrays(folder.path / "predictions.npz", predictions)
    folder.finish(metrics, protocols, timings | {"evaluation_seconds": time.monotonic() - begin}, seen)
