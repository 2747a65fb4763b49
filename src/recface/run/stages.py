"""The two training stages: landmark data first, then everything. Stage 1 is trained once and shared."""

from __future__ import annotations

import time

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateMonitor

from recface.data.sources import embedded_source
from recface.data.workbench import Workbench, build_data, build_variant, stage_sources
from recface.face_model import FaceModel
from recface.face_model.residual import change_of_latents
from recface.run.callbacks import Checkpoint, Details, Follow, Validate
from recface.run.evaluation import Network, evaluate_validation
from recface.run.identity import is_trained, run_hash
from recface.run.logger import RunLogger
from recface.scan_stage.stage import ScanModel
from recface.tracking import RunFolder, new_record, run_path
from recface.variants import SFM, Reconstruction
from recface.variants.conflict import ConflictLog
from recface.variants.trainer import State, fit_quietly, load_state, quiet_trainer, save_state
from recface.versions import VERSIONS

SHAPE_HEAD = "encoders.shape.head"
PICTURED = 6  # validation photos that a logger shows


def total_steps(bench: Workbench) -> int:
    """Steps of both stages."""
    return bench.config["scale"]["stage1_steps"] + bench.config["scale"]["stage2_steps"]


def fit(
    variant: Reconstruction, bench: Workbench, folder: RunFolder, follow: RunFolder, logger: RunLogger | None
) -> None:
    """Train one stage; goes on from the last checkpoint where a killed run left one.

    Args:
        variant: The network of the stage.
        bench: Face model, data, configuration.
        folder: Where checkpoints and metrics of the stage go.
        follow: The run whose progress is shown.
        logger: Logger beside the run folder, or None.
    """
    trainer_settings, stage = bench.config["trainer"], variant.stage
    last = folder.path / "checkpoints" / f"stage{stage}-last.ckpt"
    steps = bench.config["scale"][f"stage{stage}_steps"]
    before = bench.config["scale"]["stage1_steps"] if stage == 2 else 0
    if last.exists():
        variant.resume(load_state(last))
    if trainer_settings["conflict"] and stage == 2:
        path = folder.path / "conflict.jsonl"
        variant.conflict = ConflictLog(path, trainer_settings["conflict"], variant.first_step)
    callbacks: list[lightning.Callback] = [Follow(folder, follow, before, total_steps(bench)), Checkpoint(last)]
    if logger is not None:
        logger.begin_stage(before, variant.first_step)
        callbacks += [LearningRateMonitor("step"), _details(bench, stage, logger)]
    if trainer_settings["validate"] and stage == 2:
        callbacks.insert(0, Validate(lambda module: _validate(module, bench)))
    trainer = quiet_trainer(
        folder.path,
        accelerator=trainer_settings["accelerator"],
        devices=trainer_settings["devices"],
        precision=trainer_settings["precision"],
        max_steps=steps - variant.first_step,
        callbacks=callbacks,
        logger=logger or False,
        log_every_n_steps=max(1, min(10, min(trainer_settings["epoch_steps"], steps) // 4)),
        use_distributed_sampler=False,
    )
    fit_quietly(trainer, variant, build_data(bench, stage, variant.first_step))
    last.unlink(missing_ok=True)


def _validate(variant: Reconstruction, bench: Workbench) -> dict[str, float]:
    """All metrics of the validation people as the network stands."""
    network = Network(variant, bench.config["trainer"])
    return evaluate_validation(network, bench, network.face_model)


def _details(bench: Workbench, stage: int, logger: RunLogger) -> Details:
    """The callback for terms by source and pictures; its photos are spread over the validation people."""
    images = embedded_source(bench.benchmark, "validation").images
    rows = np.linspace(0, len(images) - 1, min(PICTURED, len(images))).astype(int)
    photos = torch.from_numpy(np.array(images[rows])).float() / 255
    return Details(logger, stage_sources(bench, stage), photos, bench.config["scale"][f"stage{stage}_steps"])


def shared_stage1(bench: Workbench, run: RunFolder, logger: RunLogger | None) -> State:
    """Return the state after stage 1, training it if no run with the same stage-1 configuration and seed has.

    Args:
        bench: Face model, data, configuration.
        run: The run that asks; it shows the progress.
        logger: Logger of that run, or None: a stage that several runs share is logged into the one that trains it.

    Returns:
        Trained state of the baseline's networks.
    """
    config, digest = bench.config, run_hash(bench.config, stage=1)
    folder = RunFolder.open(run_path(config["paths"]["runs"], "stage1", digest, config["seed"]))
    final = folder.path / "checkpoints" / "final.pt"
    with folder.lock():
        if not (is_trained(folder.record) and final.exists()):
            manifest = bench.benchmark.manifest_hash
            record = new_record("stage1", digest, config["seed"], config, versions=VERSIONS, data_manifest=manifest)
            with folder.running(record):
                folder.stage("stage1")
                begin, variant = time.monotonic(), build_variant(bench, stage=1)
                fit(variant, bench, folder, follow=run, logger=logger)
                save_state(variant.trained_state(), final)
                folder.finish({}, timings={"stage1_seconds": time.monotonic() - begin})
    return load_state(final)


def in_other_latents(state: State, source: FaceModel, target: FaceModel) -> State:
    """Let a network regress the parameters of another face model: the same shapes, as near as that one can make them.

    So variants with a basis of their own start from the stage 1 that all share (ours).

    Args:
        state: Of networks that regress the parameters of `source`.
        source: Face model with K parameters.
        target: Face model with L.

    Returns:
        The state with the shape encoder's head changed.
    """
    matrix, offset = change_of_latents(source, target)
    weight, bias = f"{SHAPE_HEAD}.weight", f"{SHAPE_HEAD}.bias"
    return state | {weight: matrix @ state[weight], bias: matrix @ state[bias] + offset}


def train_stage2(
    bench: Workbench, run: RunFolder, stage1: State, logger: RunLogger | None, scans: ScanModel | None = None
) -> Reconstruction:
    """Train a variant on all sources from stage 1's weights.

    Args:
        bench: Face model, data, configuration.
        run: The run's folder; the final state goes to checkpoints/final.pt.
        stage1: State after stage 1.
        logger: Logger beside the run folder, or None.
        scans: The face model that was learned from scans, for the variants that decode with it.

    Returns:
        The trained variant.
    """
    if scans is None:
        variant = build_variant(bench, stage=2)
    else:
        variant = build_variant(bench, stage=2, face_model=scans.face_model)
        stage1 = in_other_latents(stage1, bench.face_model, scans.face_model)
        if isinstance(variant, SFM) and bench.config["sfm"]["scans"] > 0:
            variant.scans = scans
    variant.load_state_dict(stage1, strict=False)
    variant.freeze_trunk_for_perceptual()
    fit(variant, bench, run, follow=run, logger=logger)
    save_state(variant.trained_state(), run.path / "checkpoints" / "final.pt")
    return variant
