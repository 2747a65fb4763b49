"""SFM's stage 1: a shape model learned from scans, trained once under a hash of its own and shared. See docs/sfm.md."""

from __future__ import annotations

import logging
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from recface.data.benchmark import Benchmark
from recface.data.scans import ScanBatches, ScanSet, benchmark_scans, check_scans, draw_scans, folder_scans
from recface.data.scans.principal import Principal, principal_scores
from recface.errors import RecfaceError
from recface.experiment.identity import Config
from recface.experiment.setup import Workbench, open_workbench
from recface.face_model import FaceModel, get, load, save
from recface.face_model.linear import export_basis
from recface.tracking import RunFolder, config_hash, new_record, run_path
from recface.variants.scan_decoder import ScanDecoder
from recface.variants.scan_start import SPARE, ScanStart, two_part_start
from recface.versions import SCAN_VERSION

CHECKPOINT_STEPS = 100
SOURCES = ("model", "benchmark", "folder")


@dataclass(frozen=True)
class ScanModel:
    """A shape model learned from scans, and what it was learned from.

    Attributes:
        face_model: The model, named "sfm", in the suite's schema.
        identity: (N,) int64 person of each scan.
        latents: (N, K) float32 identity parameters of each scan in the face model's convention.
        expression: (N, E) float32 coefficients of each scan.
        scans: The scans; `scans[row]` is (V, 3) in mm, read or decoded when asked for.
        path: Folder that holds sfm.npz, latents.npz and run.json.
    """

    face_model: FaceModel
    identity: np.ndarray
    latents: np.ndarray
    expression: np.ndarray
    scans: ScanSet
    path: Path


def shared_scan_model(bench: Workbench, run: RunFolder) -> ScanModel:
    """Return the scan model of a configuration, training it if no run with the same scan stage and seed has.

    Args:
        bench: Face model, benchmark, configuration with the group `sfm`.
        run: The run that asks; it shows the progress.

    Returns:
        The trained model.

    Raises:
        RecfaceError: The configuration or the scans are unusable.
    """
    scans = open_scans(bench.config, bench.face_model, bench.benchmark)
    return scan_model(bench.config, bench.face_model, scans, run, bench.benchmark.manifest_hash)


def scan_model(
    config: Config,
    face_model: FaceModel,
    scans: ScanSet,
    follow: RunFolder | None = None,
    manifest: str | None = None,
    principal: Principal | None = None,
    part: str | None = None,
) -> ScanModel:
    """As `shared_scan_model`, without a benchmark: face model and scans are given.

    Args:
        config: Resolved configuration with the group `sfm`.
        face_model: Gives topology, landmarks, mirror and, unless one is learned, the expression basis.
        scans: What `open_scans` gave for this configuration.
        follow: The run that asks and shows the progress, or None.
        manifest: Hash of the benchmark, for the record.
        principal: The scans in principal coordinates, where they are known already.
        part: Says which part of the configuration's scans these are, where they are not all.
    """
    settings, digest = config["sfm"]["scan"], scan_hash(config, face_model, manifest, part)
    folder = RunFolder.open(run_path(config["paths"]["runs"], "scans", digest, config["seed"]))
    with folder.lock():
        if not is_scan_trained(folder):
            record = new_record(
                "scans",
                digest,
                config["seed"],
                {"seed": config["seed"], "face_model": config["face_model"], "sfm": {"scan": settings}},
                versions={"scan": SCAN_VERSION},
                data_manifest=manifest,
            )
            with folder.running(record):
                folder.stage("scans")
                begin = time.monotonic()
                _train(settings, face_model, scans, config["seed"], folder, follow or folder, principal)
                folder.finish({}, timings={"scans_seconds": time.monotonic() - begin})
    with np.load(folder.path / "latents.npz") as stored:
        arrays = {name: stored[name] for name in ("identity", "latents", "expression")}
    return ScanModel(load(folder.path / "sfm.npz"), **arrays, scans=scans, path=folder.path)


def scan_hash(config: Config, face_model: FaceModel, manifest: str | None = None, part: str | None = None) -> str:
    """Hash over all that determines the scan stage: its keys, the face model, and the benchmark where it is read."""
    settings = dict(config["sfm"]["scan"])
    own = {"scan": settings, "face_model": face_model.checksum, "version": SCAN_VERSION}
    own |= {"benchmark": manifest} if settings["source"] == "benchmark" else {}
    own |= {"part": part} if part else {}
    return config_hash(own)


def scan_counts(settings: Config, face_model: FaceModel) -> tuple[int, int, np.ndarray | None]:
    """Identity modes, expression modes, and the known expression basis (3V, E) unless one is learned.

    Raises:
        RecfaceError: An unknown kind of expression basis.
    """
    modes = settings["modes"] or face_model.num_identity
    if settings["expression"] == "learned":
        return modes, settings["expression_modes"], None
    if settings["expression"] == "model":
        return modes, face_model.num_expressions, face_model.arrays()["expression_basis"]
    raise RecfaceError(f"sfm.scan.expression: no '{settings['expression']}'; known are model, learned")


def is_scan_trained(folder: RunFolder) -> bool:
    """Whether a folder holds a finished scan model of this code's version."""
    done = folder.is_finished and folder.record.versions == {"scan": SCAN_VERSION}
    return done and (folder.path / "sfm.npz").exists() and (folder.path / "latents.npz").exists()


def open_scan_bench(config: Config) -> tuple[FaceModel, Benchmark | None]:
    """The face model of a configuration, and the benchmark where the scans are its own: photos are not needed."""
    if config["sfm"]["scan"]["source"] == "benchmark":
        bench = open_workbench(config)
        return bench.face_model, bench.benchmark
    settings = config["face_model"]
    return get(settings["name"], settings["path"], Path(config["paths"]["cache"])), None


def open_scans(config: Config, face_model: FaceModel, benchmark: Benchmark | None) -> ScanSet:
    """Open the scans that a configuration names.

    Raises:
        RecfaceError: An unknown source, or scans that cannot be used.
    """
    settings = config["sfm"]["scan"]
    if settings["source"] == "model":
        return draw_scans(
            face_model, settings["people"], settings["scans_each"], settings["noise_mm"], config["seed"], "train"
        )
    if settings["source"] == "benchmark" and benchmark is not None:
        return benchmark_scans(face_model, benchmark, settings["noise_mm"])
    if settings["source"] == "folder":
        return folder_scans(face_model, settings["path"], Path(config["paths"]["cache"]))
    raise RecfaceError(f"sfm.scan.source: no source '{settings['source']}'; known are {', '.join(SOURCES)}")


def _train(
    settings: Config,
    face_model: FaceModel,
    scans: ScanSet,
    seed: int,
    folder: RunFolder,
    follow: RunFolder,
    principal: Principal | None,
) -> None:
    """Start from PCA, train, and write sfm.npz and latents.npz."""
    modes, units, blend = scan_counts(settings, face_model)
    learned = blend is None
    check_scans(scans, modes, units if learned else 0)
    if principal is None:
        principal = principal_scores(scans, modes + units + SPARE, seed)
    start = two_part_start(principal, scans.identity, modes, units, blend)
    source = face_model.arrays()
    roughness, reflection = principal.roughness(source["triangles"]), principal.reflection(source["mirror"])
    torch.manual_seed(seed)
    decoder = ScanDecoder(settings, start, scans.identity, roughness, reflection, face_model.num_vertices, learned)
    batches = ScanBatches(principal.scores, scans.identity, settings["batch_size"], seed, 0, settings["steps"])
    fit_scans(decoder, batches, folder, follow)
    model, latents = export_model(decoder, face_model, principal, start)
    save(model, folder.path / "sfm.npz")
    arrays = {
        "identity": scans.identity,
        "latents": latents.astype(np.float32),
        "expression": decoder.expression.weight.detach().numpy(),
    }
    part = folder.path / "latents.part.npz"
    np.savez(part, **arrays)
    os.replace(part, folder.path / "latents.npz")


def fit_scans(decoder: ScanDecoder, batches: ScanBatches, folder: RunFolder, follow: RunFolder) -> None:
    """Train the auto-decoder; goes on from the last checkpoint where a killed run left one."""
    last = folder.path / "checkpoints" / "scans-last.ckpt"
    if last.exists():
        decoder.resume(torch.load(last, map_location="cpu", weights_only=True))
    batches.start = decoder.step
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        accelerator="cpu",  # a step is small linear algebra
        max_epochs=1,
        callbacks=[ScanProgress(folder, follow, last)],
        logger=False,
        default_root_dir=folder.path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loader workers does not apply here
        try:
            trainer.fit(decoder, torch.utils.data.DataLoader(batches, batch_size=None))
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # which Lightning turns into exit(1)
                raise KeyboardInterrupt from None
            raise
    last.unlink(missing_ok=True)


class ScanProgress(lightning.Callback):
    """Progress, a line of metrics and a checkpoint every hundred steps.

    Args:
        folder: Where metrics.jsonl grows.
        run: The run whose progress is shown.
        last: File of the checkpoint.
    """

    def __init__(self, folder: RunFolder, run: RunFolder, last: Path) -> None:
        self.folder, self.run, self.last = folder, run, last

    def on_train_batch_end(self, trainer: Any, module: ScanDecoder, outputs: Any, *rest: Any) -> None:
        """Tell, write down and keep."""
        self.run.progress(module.step, module.steps, phase="scans", loss=float(outputs["loss"]))
        if module.step % CHECKPOINT_STEPS == 0 or module.step == module.steps:
            self.folder.log_metrics({"step": module.step} | {key: float(value) for key, value in outputs.items()})
            self.last.parent.mkdir(parents=True, exist_ok=True)
            torch.save(module.checkpoint(), self.last.with_suffix(".part"))
            os.replace(self.last.with_suffix(".part"), self.last)


def export_model(
    decoder: ScanDecoder, face_model: FaceModel, principal: Principal, start: ScanStart
) -> tuple[FaceModel, np.ndarray]:
    """The trained decoder in the face-model schema, and its latents (N, K) in that schema's convention."""
    basis, latents = decoder.basis.detach().numpy(), decoder.latents.weight.detach().numpy()
    columns, sigma, parameters = export_basis(basis, latents, principal.axes)
    source, learned = face_model.arrays(), decoder.blend.requires_grad
    blend, names = source["expression_basis"], face_model.expression_names
    if learned:
        blend = principal.axes @ decoder.blend.detach().numpy()
        names = [f"learned{k:02d}" for k in range(blend.shape[1])]
    model = FaceModel(
        mean=start.mean.reshape(-1, 3),
        triangles=source["triangles"],
        identity_basis=columns,
        identity_sigma=sigma,
        expression_basis=blend,
        expression_names=names,
        landmarks68=source["landmarks68"],
        mirror=source["mirror"],
        face_mask=source["face_mask"],
        name="sfm",
        source=f"Sphere Face Model learned from scans, topology of {face_model.name}: {face_model.source}",
        licence=face_model.licence,
        latent_radius=decoder.radius if decoder.sphere else None,
    )
    return model, parameters
