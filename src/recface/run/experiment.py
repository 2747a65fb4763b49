"""One run from a resolved configuration to its record."""

from __future__ import annotations

import time

import lightning
import torch

from recface.data.photos import table_of_photos
from recface.data.workbench import Workbench, open_workbench
from recface.errors import RecfaceError
from recface.face_model import save
from recface.face_model.npz import LEARNED_FILE
from recface.files.arrays import read_arrays
from recface.files.atomic import write_arrays
from recface.files.checkpoints import load_state, require_same
from recface.files.digests import photos_digest
from recface.metrics import PHOTO_PROTOCOLS, protocol_ids
from recface.run.evaluation import Network, Timed, evaluate_photos, evaluate_run, open_photos
from recface.run.identity import is_complete, is_trained, run_hash
from recface.run.logger import RunLogger, in_wandb_sweep, open_logger
from recface.run.stages import drop_checkpoints, shared_stage1, total_steps, train_stage2
from recface.run.team import Team, assembled, joined, placed_outside
from recface.scan_stage.stage import shared_scan_model
from recface.settings import Config
from recface.settings.run_settings import check_config
from recface.tracking import RunFolder, new_record, run_path
from recface.variants import Reconstruction, build_variant
from recface.variants.conflict import conflict_curves, conflict_metrics
from recface.versions import VERSIONS

PREDICTING = ("encoders.", "confidence.", "face_model.")
"""Beginnings of the state that predictions read; the rest belongs to loss terms and their training people."""


def run_experiment(config: Config, overrides: list[str] | None = None) -> RunFolder:
    """Train, evaluate and record a run; a finished run returns at once.

    Args:
        config: The resolved configuration, plain.
        overrides: Those of the command line, for the record.

    Raises:
        RecfaceError: A mistake in configuration or data; the record then says "failed" and why.
    """
    check_config(config)
    set_up_torch(config)
    digest = run_hash(config)
    name, seed = config["name"], config["seed"]
    folder = RunFolder.open(run_path(config["paths"]["runs"], name, digest, seed))
    if (place := placed_outside(config)) is not None and place.global_rank() > 0:
        with joined(config, place) as team:
            if team.agreed(None):
                _assist(config, team)
        with folder.lock():  # until the first process has evaluated
            return folder
    record = new_record(
        name, digest, seed, config, parent=config["parent"], overrides=overrides or [], versions=VERSIONS
    )
    with folder.lock():
        if is_trained(folder.record):
            with assembled(config, _assist, needed=False):
                pass  # others may wait to be told so
        if is_complete(config, folder.record) and not in_wandb_sweep():
            return folder  # an agent's server would still wait for the results in the folder
        if photos := config["data"]["photos"]:
            table_of_photos(photos, "data.photos")  # a wrong path is told before training
        with open_logger(config, folder) as logger:
            if not is_trained(folder.record):
                with folder.running(record):
                    _train_and_evaluate(config, folder, logger)
            if not is_complete(config, folder.record):
                _add_photos(config, folder)
            if logger is not None:
                logger.publish(folder)
    return folder


def set_up_torch(config: Config) -> None:
    """Fix threads, seeds and determinism."""
    torch.set_num_threads(config["trainer"]["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # takes 6% of a step
    lightning.seed_everything(config["seed"], workers=True, verbose=False)


def _train_and_evaluate(config: Config, folder: RunFolder, logger: RunLogger | None) -> None:
    """Both stages, all metrics, and the record."""
    clock = {"begin": time.monotonic()}
    with assembled(config, _assist) as team:
        bench, variant = _train(config, folder, logger, team, clock)
    folder.stage("evaluation")
    network = Network(variant, config["trainer"]["accelerator"])
    if network.face_model is not bench.face_model:  # stored parameters are meaningless without their model
        save(network.face_model, folder.path / LEARNED_FILE)
    predictor = Timed(network)
    metrics, predictions = evaluate_run(predictor, bench, network.face_model)
    if curves := conflict_curves(folder.path / "conflict.jsonl"):
        metrics["conflict"], predictions = conflict_metrics(curves), predictions | curves
    write_arrays(folder.path / "predictions.npz", predictions)
    clock["evaluation"] = time.monotonic()
    names = list(clock)
    timings = {f"{name}_seconds": clock[name] - clock[before] for before, name in zip(names, names[1:], strict=False)}
    timings |= predictor.timings
    folder.progress(total_steps(config), total_steps(config), phase="finished")
    folder.finish(metrics, {block: protocol_ids(values) for block, values in metrics.items()}, timings)
    drop_checkpoints(folder)


def _train(
    config: Config, folder: RunFolder, logger: RunLogger | None, team: Team, clock: dict[str, float]
) -> tuple[Workbench, Reconstruction]:
    """Both stages, in each of the processes; the time at the end of each goes into `clock`."""
    folder.progress(0, 1, phase="data")
    with team.in_turn():
        bench = open_workbench(config, lambda done, total: folder.progress(done, total, phase="data"))
    folder.update(data_manifest=bench.benchmark.manifest_hash)
    clock["data"] = time.monotonic()
    folder.stage("stage1")
    stage1 = shared_stage1(bench, folder, logger, team)
    clock["stage1"] = time.monotonic()
    folder.stage("stage2")
    scans = None
    if "sfm" in config:
        with team.in_turn():
            scans = shared_scan_model(bench, folder)
    variant = train_stage2(bench, folder, stage1, logger, scans, team)
    clock["stage2"] = time.monotonic()
    return bench, variant


def _assist(config: Config, team: Team) -> None:
    """Train with the first process of a run, in another."""
    set_up_torch(config)
    path = run_path(config["paths"]["runs"], config["name"], run_hash(config), config["seed"])
    _train(config, team.folder(path), None, team, {})


def trained_variant(bench: Workbench, folder: RunFolder) -> Reconstruction:
    """The network of a finished run; the training sources of its bench may be left out.

    Raises:
        RecfaceError: Its weights are missing (archived runs and copies leave them out), or of another network.
    """
    path = folder.path / "checkpoints" / "final.pt"
    if not path.is_file():
        raise RecfaceError(f"{path}: no weights here; rerun the experiment")
    scans = shared_scan_model(bench, folder) if "sfm" in bench.config else None
    variant = build_variant(bench, stage=2, face_model=scans.face_model if scans else None)
    state = {key: value for key, value in load_state(path).items() if key.startswith(PREDICTING)}
    wanted = {key: value for key, value in variant.trained_state().items() if key.startswith(PREDICTING)}
    require_same(state, wanted, path)
    variant.load_state_dict(state, strict=False)
    return variant


def _add_photos(config: Config, folder: RunFolder) -> None:
    """Verify real photographs with a finished run's network, and add them to its record."""
    bench = open_workbench(config)
    network = Network(trained_variant(bench, folder), config["trainer"]["accelerator"])
    seen = photos_digest(config["data"]["photos"], config["paths"]["cache"])
    source = open_photos(bench, config["data"]["photos"])
    values, predictions = evaluate_photos(network, bench, source, network.face_model)
    path = folder.path / "predictions.npz"
    write_arrays(path, read_arrays(path) | predictions)
    record = folder.record
    assert record is not None  # it was finished
    protocols = record.protocols | {"photos": {key: PHOTO_PROTOCOLS[key].id for key in values}}
    folder.finish(record.metrics | {"photos": values}, protocols, photos_digest=seen)
