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
from torch import Tensor

from recface.data.benchmark import Benchmark
from recface.data.scans import ScanBatches, ScanSet, benchmark_scans, check_scans, draw_scans, folder_scans
from recface.data.scans.principal import principal_scores
from recface.errors import RecfaceError
from recface.experiment.identity import Config
from recface.experiment.setup import Workbench
from recface.face_model import FaceModel, load, save
from recface.face_model.linear import export_basis
from recface.face_model.transfer import graph_laplacian
from recface.tracking import RunFolder, config_hash, new_record, run_path
from recface.variants.scan_decoder import ScanDecoder
from recface.variants.scan_start import SPARE, two_part_start
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
    config: Config, face_model: FaceModel, scans: ScanSet, run: RunFolder | None = None, manifest: str | None = None
) -> ScanModel:
    """As `shared_scan_model`, without a benchmark: face model and scans are given.

    Args:
        config: Resolved configuration with the group `sfm`.
        face_model: Gives topology, landmarks, mirror and, unless one is learned, the expression basis.
        scans: What `open_scans` gave for this configuration.
        run: The run that asks, or None.
        manifest: Hash of the benchmark, for the record.
    """
    settings, digest = config["sfm"]["scan"], scan_hash(config, face_model, manifest)
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
                _train(settings, face_model, scans, config["seed"], folder, run or folder)
                folder.finish({}, timings={"scans_seconds": time.monotonic() - begin})
    with np.load(folder.path / "latents.npz") as stored:
        arrays = {name: stored[name] for name in ("identity", "latents", "expression")}
    return ScanModel(load(folder.path / "sfm.npz"), **arrays, scans=scans, path=folder.path)


def scan_hash(config: Config, face_model: FaceModel, manifest: str | None = None) -> str:
    """Hash over all that determines the scan stage: its keys, the face model, and the benchmark where it is read."""
    settings = dict(config["sfm"]["scan"])
    own = {"scan": settings, "face_model": face_model.checksum, "version": SCAN_VERSION}
    return config_hash(own | ({"benchmark": manifest} if settings["source"] == "benchmark" else {}))


def is_scan_trained(folder: RunFolder) -> bool:
    """Whether a folder holds a finished scan model of this code's version."""
    done = folder.is_finished and folder.record.versions == {"scan": SCAN_VERSION}
    return done and (folder.path / "sfm.npz").exists() and (folder.path / "latents.npz").exists()


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
    settings: Config, face_model: FaceModel, scans: ScanSet, seed: int, folder: RunFolder, follow: RunFolder
) -> None:
    """Start from PCA, train, and write sfm.npz and latents.npz."""
    learned = settings["expression"] == "learned"
    modes = settings["modes"] or face_model.num_identity
    units = settings["expression_modes"] if learned else face_model.num_expressions
    check_scans(scans, modes, settings["expression_modes"] if learned else 0)
    blend = None if learned else face_model.arrays()["expression_basis"]
    principal = principal_scores(scans, modes + units + SPARE, seed)
    start = two_part_start(principal, scans.identity, modes, units, blend)
    torch.manual_seed(seed)
    decoder = ScanDecoder(
        settings, start, scans.identity, sparse_laplacian(face_model), face_model.mirror.cpu().numpy(), learned
    )
    fit_scans(decoder, scans, seed, folder, follow)
    model, latents = export_model(decoder, face_model)
    save(model, folder.path / "sfm.npz")
    arrays = {
        "identity": scans.identity,
        "latents": latents.astype(np.float32),
        "expression": decoder.expression.weight.detach().numpy(),
    }
    part = folder.path / "latents.part.npz"
    np.savez(part, **arrays)
    os.replace(part, folder.path / "latents.npz")


def sparse_laplacian(face_model: FaceModel) -> Tensor:
    """Uniform graph Laplacian of a face model's mesh, (V, V) sparse float32."""
    matrix = graph_laplacian(face_model.triangles.cpu().numpy(), face_model.num_vertices).tocoo()
    index = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
    return torch.sparse_coo_tensor(index, torch.from_numpy(matrix.data).float(), matrix.shape).coalesce()


def fit_scans(decoder: ScanDecoder, scans: ScanSet, seed: int, folder: RunFolder, follow: RunFolder) -> None:
    """Train the auto-decoder; goes on from the last checkpoint where a killed run left one."""
    last = folder.path / "checkpoints" / "scans-last.ckpt"
    if last.exists():
        decoder.resume(torch.load(last, map_location="cpu", weights_only=True))
    batches = ScanBatches(scans, decoder.settings["batch_size"], seed, decoder.step, decoder.steps)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        accelerator="cpu",  # small linear algebra on scans that are read from disk
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


def export_model(decoder: ScanDecoder, face_model: FaceModel) -> tuple[FaceModel, np.ndarray]:
    """The trained decoder in the face-model schema, and its latents (N, K) in that schema's convention."""
    basis, latents = decoder.basis.detach().numpy(), decoder.latents.weight.detach().numpy()
    columns, sigma, parameters = export_basis(basis, latents)
    blend = decoder.blend.detach().numpy()
    learned = decoder.blend.requires_grad
    source = face_model.arrays()
    model = FaceModel(
        mean=decoder.mean.numpy().reshape(-1, 3),
        triangles=source["triangles"],
        identity_basis=columns,
        identity_sigma=sigma,
        expression_basis=blend,
        expression_names=[f"learned{k:02d}" for k in range(blend.shape[1])] if learned else face_model.expression_names,
        landmarks68=source["landmarks68"],
        mirror=source["mirror"],
        face_mask=source["face_mask"],
        name="sfm",
        source=f"Sphere Face Model learned from scans, topology of {face_model.name}: {face_model.source}",
        licence=face_model.licence,
        latent_radius=decoder.radius if decoder.sphere else None,
    )
    return model, parameters
