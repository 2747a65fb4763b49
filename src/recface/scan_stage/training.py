"""Training of SFM's stage 1: from a PCA start to a face model in the suite's schema. See docs/sfm.md."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from recface.face_model import FaceModel, save
from recface.face_model.linear import export_basis
from recface.face_model.npz import LEARNED_FILE
from recface.run.identity import Config
from recface.scan_stage.decoder import ScanDecoder
from recface.scan_stage.principal import SPARE, Principal, ScanStart, principal_scores, two_part_start
from recface.scan_stage.scans import ScanBatches, ScanSet, check_scans
from recface.tracking import RunFolder
from recface.variants.trainer import fit_quietly, load_state, quiet_trainer, save_arrays, save_state

LATENTS_FILE = "latents.npz"
CHECKPOINT_STEPS = 100


def scan_counts(settings: Config, face_model: FaceModel) -> tuple[int, int, np.ndarray | None]:
    """Identity modes, expression modes, and the known expression basis (3V, E) unless one is learned."""
    modes = settings["modes"] or face_model.num_identity
    if settings["expression"] == "learned":
        return modes, settings["expression_modes"], None
    return modes, face_model.num_expressions, face_model.arrays()["expression_basis"]


def train_scan_model(
    settings: Config,
    face_model: FaceModel,
    scans: ScanSet,
    seed: int,
    folder: RunFolder,
    follow: RunFolder,
    principal: Principal | None,
) -> None:
    """Start from PCA, train, and write the model and the latents.

    Args:
        settings: The configuration's `sfm.scan`.
        face_model: Gives topology, landmarks, mirror and, unless one is learned, the expression basis.
        scans: The training scans.
        seed: Of the order of batches and of what is drawn.
        folder: Where everything goes.
        follow: The run whose progress is shown.
        principal: The scans in principal coordinates, where they are known already.

    Raises:
        RecfaceError: As `check_scans`.
    """
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
    save(model, folder.path / LEARNED_FILE)
    arrays = {
        "identity": scans.identity,
        "latents": latents.astype(np.float32),
        "expression": decoder.expression.weight.detach().numpy(),
    }
    save_arrays(arrays, folder.path / LATENTS_FILE)


def fit_scans(decoder: ScanDecoder, batches: ScanBatches, folder: RunFolder, follow: RunFolder) -> None:
    """Train the auto-decoder; goes on from the last checkpoint where a killed run left one."""
    last = folder.path / "checkpoints" / "scans-last.ckpt"
    if last.exists():
        decoder.resume(load_state(last))
    batches.start = decoder.step
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = quiet_trainer(
        folder.path,
        accelerator="cpu",  # a step is small linear algebra
        max_epochs=1,
        callbacks=[ScanProgress(folder, follow, last)],
        logger=False,
    )
    fit_quietly(trainer, decoder, torch.utils.data.DataLoader(batches, batch_size=None))
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
            save_state(module.checkpoint(), self.last)


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
