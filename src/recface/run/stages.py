"""The two training stages: landmark data first, then everything. Stage 1 is trained once and shared by all variants."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateMonitor

from recface.data.sources import embedded_source
from recface.data.workbench import Workbench, build_data, stage_sources
from recface.face_model import FaceModel
from recface.face_model.residual import change_of_latents
from recface.files.checkpoints import REMEDY, State, load_state, require_keys, require_same, save_state
from recface.run.callbacks import Checkpoint, Details, Follow, Validate
from recface.run.evaluation import Network, evaluate_validation, verify_store
from recface.run.identity import is_trained, run_hash, stage1_config
from recface.run.logger import RunLogger
from recface.run.shares import take_share
from recface.run.team import Team
from recface.scan_stage.stage import ScanModel
from recface.settings import Config
from recface.tracking import RunFolder, new_record, run_path
from recface.variants import Reconstruction, build_variant
from recface.variants.batch_norm import synchronize_batch_norms
from recface.variants.conflict import ConflictLog
from recface.variants.trainer import chosen_precision, fit_quietly, quiet_trainer
from recface.versions import VERSIONS

SHARED = ("encoders.", "confidence.")
"""Beginnings of the state that all variants take over from stage 1."""
SHAPE_HEAD = "encoders.shape.head"
ALONE = Team()
PICTURED = 6  # validation photos that a logger shows


def total_steps(config: Config) -> int:
    """Steps of both stages."""
    return config["scale"]["stage1_steps"] + config["scale"]["stage2_steps"]


def fit(
    variant: Reconstruction,
    bench: Workbench,
    folder: RunFolder,
    follow: Follow,
    logger: RunLogger | None,
    team: Team = ALONE,
) -> None:
    """Train one stage; continues from the last checkpoint where a killed run left one.

    The configuration in `bench` is stage 1's own part of it there; checkpoints and metrics of the stage go to `folder`.
    """
    settings, stage = bench.config["trainer"], variant.stage
    last = folder.path / "checkpoints" / f"stage{stage}-last.ckpt"
    steps = bench.config["scale"][f"stage{stage}_steps"]
    team.agreed(None)  # the first process has by now removed the checkpoint of other code
    if last.exists():
        checkpoint = load_state(last)
        require_keys(checkpoint, ("step", "state", "optimizer", "schedule"), last)
        require_same(checkpoint["state"], variant.trained_state(), last, REMEDY)
        variant.resume(checkpoint)
    if stage == 2 and settings["conflict"]:
        path = folder.path / "conflict.jsonl" if team.leads else None
        variant.conflict = ConflictLog(path, settings["conflict"], variant.first_step)
    callbacks: list[lightning.Callback] = [follow, Checkpoint(last)]
    if logger is not None:
        logger.begin_stage(follow.before, variant.first_step)
        callbacks += [LearningRateMonitor("step"), _details(bench, stage, logger)]
    if stage == 2 and settings["validate"]:
        measure = Validate(lambda module: _validate(module, bench), team)
        callbacks.insert(0, measure)  # before Follow, which writes its values
    trainer = quiet_trainer(
        folder.path,
        accelerator=settings["accelerator"],
        precision=chosen_precision(settings),
        max_steps=steps - variant.first_step,
        callbacks=callbacks,
        logger=logger or False,
        log_every_n_steps=max(1, min(10, min(settings["epoch_steps"], steps) // 4)),
        use_distributed_sampler=False,
        **team.trainer_options(settings),
    )
    if trainer.world_size > 1:
        synchronize_batch_norms(variant.encoders, cuda=trainer.strategy.root_device.type == "cuda")
    if variant.first_step < steps:  # a run that was killed while it was evaluated has nothing to train
        data = build_data(bench, stage, variant.first_step)
        take_share(data, trainer.global_rank, trainer.world_size, trainer.accumulate_grad_batches)
        fit_quietly(trainer, variant, data)


def drop_checkpoints(folder: RunFolder) -> None:
    """Remove what a killed run would have resumed from."""
    for path in (folder.path / "checkpoints").glob("*-last.ckpt"):
        path.unlink()


def _validate(variant: Reconstruction, bench: Workbench) -> dict[str, float]:
    """All metrics of the validation people, and of the sets of pairs that are named, with the network in training."""
    settings, size = bench.config["trainer"], bench.config["scale"]["image_size"]
    network = Network(variant, settings["accelerator"])
    found = evaluate_validation(network, bench, network.face_model)
    for path in settings.get("validate_on") or []:
        values = verify_store(network, path, size)
        found |= {f"{Path(path).name}/{key}": value for key, value in values.items()}
    return found


def _details(bench: Workbench, stage: int, logger: RunLogger) -> Details:
    """The callback for terms by source and pictures; its photos are spread over the validation people."""
    images = embedded_source(bench.benchmark, "validation").images
    rows = np.linspace(0, len(images) - 1, min(PICTURED, len(images))).astype(int)
    photos = torch.from_numpy(np.array(images[rows])).float() / 255
    steps, validate = bench.config["scale"][f"stage{stage}_steps"], bench.config["trainer"].get("validate", False)
    return Details(logger, stage_sources(bench, stage), photos, steps, meshes=validate)


def shared_stage1(bench: Workbench, run: RunFolder, logger: RunLogger | None, team: Team = ALONE) -> Path:
    """Return the file of the baseline's networks after stage 1, training it unless a run with the same has.

    `run` asks and shows the progress. A stage that several runs share is logged into the one that trains it.
    """
    config, digest = bench.config, run_hash(bench.config, stage=1)
    folder = team.folder(run_path(config["paths"]["runs"], "stage1", digest, config["seed"]))
    final = folder.path / "checkpoints" / "final.pt"
    with folder.lock():
        if team.agreed(not (is_trained(folder.record) and final.exists())):
            manifest = bench.benchmark.manifest_hash
            record = new_record("stage1", digest, config["seed"], config, versions=VERSIONS, data_manifest=manifest)
            with folder.running(record):
                folder.stage("stage1")
                # Only what the hash is of, so that no other setting can change a stage that others share.
                own = replace(bench, config=stage1_config(config) | {"seed": config["seed"]})
                begin, variant = time.monotonic(), build_variant(own, stage=1)
                fit(variant, own, folder, Follow(folder, run, 0, total_steps(config)), logger, team)
                if team.leads:
                    save_state(variant.trained_state(), final)
                    drop_checkpoints(folder)
                    folder.finish({}, timings={"stage1_seconds": time.monotonic() - begin})
    team.agreed(None)  # the file is there
    return final


def in_other_latents(state: State, source: FaceModel, target: FaceModel) -> State:
    """Turn a network's state into one that regresses the nearest shapes' parameters of another face model.

    Thus variants with a basis of their own start from the shared stage 1 (ours). The shape encoder's head, of the K
    parameters of `source`, becomes one of the L parameters of `target`.
    """
    matrix, offset = change_of_latents(source, target)
    weight, bias = f"{SHAPE_HEAD}.weight", f"{SHAPE_HEAD}.bias"
    return state | {weight: matrix @ state[weight], bias: matrix @ state[bias] + offset}


def train_stage2(
    bench: Workbench,
    run: RunFolder,
    stage1: Path,
    logger: RunLogger | None,
    scans: ScanModel | None = None,
    team: Team = ALONE,
) -> Reconstruction:
    """Train a variant on all sources from the weights after stage 1; the state goes to checkpoints/final.pt of the run.

    `scans` holds the face model that was learned from scans, for the variants that decode with it.

    Raises:
        RecfaceError: The weights after stage 1 are damaged, or not all there.
    """
    variant = build_variant(bench, stage=2, face_model=scans.face_model if scans else None)
    shared = {name: value for name, value in load_state(stage1).items() if name.startswith(SHARED)}
    if scans is not None:
        require_keys(shared, (f"{SHAPE_HEAD}.weight", f"{SHAPE_HEAD}.bias"), stage1)
        shared = in_other_latents(shared, bench.face_model, scans.face_model)
        variant.use_scans(scans)
    own = {name: value for name, value in variant.trained_state().items() if name.startswith(SHARED)}
    require_same(shared, own, stage1, REMEDY)
    variant.load_state_dict(shared, strict=False)  # the variant's own centers and bases begin fresh
    variant.freeze_trunk_for_perceptual()
    follow = Follow(run, run, bench.config["scale"]["stage1_steps"], total_steps(bench.config))
    fit(variant, bench, run, follow, logger, team)
    if team.leads:
        save_state(variant.trained_state(), run.path / "checkpoints" / "final.pt")
    return variant
