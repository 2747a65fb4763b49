"""The auto-decoder of SFM's stage 1 (Jiang et al. 2023, arXiv 2112.02238): from a PCA start to a face model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from recface.face_model import FaceModel, save
from recface.face_model.linear import export_basis
from recface.face_model.npz import LEARNED_FILE
from recface.files.atomic import write_arrays
from recface.files.checkpoints import REMEDY, load_state, require_keys, require_same, save_state
from recface.losses import center_loss, cosface_loss, prior_loss, weighted_sum
from recface.losses.basis import orthogonality_loss, smoothness_loss, sphere_loss, symmetry_loss, vertex_loss
from recface.scan_stage.principal import SPARE, Principal, ScanStart, principal_scores, two_part_start
from recface.scan_stage.scans import ScanBatches, ScanSet, check_scans
from recface.settings import Config
from recface.tracking import RunFolder
from recface.variants.trainer import fit_quietly, quiet_trainer

LATENTS_FILE = "latents.npz"
CHECKPOINT_STEPS = 100


class ScanDecoder(lightning.LightningModule):
    """S_i = mean + A x_i + B e_i with a free latent x_i and expression e_i for each scan, and a free basis A.

    Training runs in the M principal coordinates of the scans, where all terms equal those on the mesh at a hundredth of
    the cost (docs/sfm.md, stage 1).

    With `sphere`, latents lie near the sphere of radius sqrt(K) and a margin separates the directions of people;
    without, a batch's latents follow N(0, I) instead (the KL of SIR's prior). All other terms are the same. Of the
    arguments, `settings` are the configuration's `sfm.scan`, `roughness` and `reflection` (M, M) come from `Principal`,
    and `learn_expression` decides whether B is learned too.
    """

    identity: Tensor
    shift: Tensor
    roughness: Tensor
    reflection: Tensor
    expression_spread: Tensor

    def __init__(
        self,
        settings: dict[str, Any],
        start: ScanStart,
        identity: np.ndarray,
        roughness: np.ndarray,
        reflection: np.ndarray,
        vertices: int,
        learn_expression: bool,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # two optimizers: latents move only when their scan is in the batch
        self.settings, self.steps, self.vertices = settings, settings["steps"], vertices
        self.radius = math.sqrt(start.latents.shape[1])
        self.sphere = settings["sphere"]
        names = ("vertex", "center", "orthogonality", "smoothness", "symmetry", "expression")
        own = ("sphere", "separation") if self.sphere else ("prior",)
        self.weights = {name: settings["weights"][name] for name in (*names, *own)}
        self.register_buffer("identity", torch.from_numpy(np.asarray(identity)), persistent=False)
        self.register_buffer("shift", _tensor(start.shift), persistent=False)
        self.register_buffer("roughness", _tensor(roughness), persistent=False)
        self.register_buffer("reflection", _tensor(reflection), persistent=False)
        spread = np.maximum(start.expression.std(axis=0), 1e-3)
        self.register_buffer("expression_spread", _tensor(spread), persistent=False)
        self.basis = nn.Parameter(_tensor(start.identity_basis))
        self.blend = nn.Parameter(_tensor(start.expression_basis), requires_grad=learn_expression)
        latents = start.latents
        if self.sphere:
            latents = latents * (self.radius / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-6))
        self.latents: nn.Embedding = nn.Embedding.from_pretrained(_tensor(latents), freeze=False, sparse=True)
        self.expression: nn.Embedding = nn.Embedding.from_pretrained(
            _tensor(start.expression), freeze=False, sparse=True
        )
        self.directions = nn.Parameter(self.centers()) if self.sphere else None
        self.step = 0
        self.resumed: dict[str, Any] | None = None

    @torch.no_grad()
    def centers(self) -> Tensor:
        """Mean latent of each person, (P, K)."""
        latents = self.latents.weight
        sums = latents.new_zeros(int(self.identity.max()) + 1, latents.shape[1])
        sums.index_add_(0, self.identity, latents)
        return sums / torch.bincount(self.identity)[:, None]

    def forward(self, latents: Tensor, expression: Tensor) -> Tensor:
        """Offsets (B, M) from the mean in principal coordinates, in mm."""
        return latents @ self.basis.T + expression @ self.blend.T

    def terms(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of a batch by name; `self.weights` holds a weight for each."""
        row, person = batch["row"], batch["identity"]
        latents, expression = self.latents(row), self.expression(row)
        known = torch.ones_like(person, dtype=torch.bool)
        terms = {
            "vertex": vertex_loss(self(latents, expression), batch["scores"] - self.shift, self.vertices),
            "center": center_loss(latents, self.centers(), known, person),
            "orthogonality": orthogonality_loss(self.basis),
            "smoothness": smoothness_loss(self.basis, self.roughness, self.vertices),
            "symmetry": symmetry_loss(self.basis, self.reflection, self.vertices),
            "expression": (expression / self.expression_spread).square().mean(),
        }
        if self.directions is None:
            return terms | {"prior": prior_loss(latents)}
        softmax_scale, margin = self.settings["softmax_scale"], self.settings["margin"]
        return terms | {
            "sphere": sphere_loss(latents, self.radius),
            "separation": cosface_loss(latents, self.directions, person, softmax_scale, margin),
        }

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Tensor]:
        """One step of both optimizers, at a rate that falls to zero over the stage."""
        total, values = weighted_sum(self.terms(batch), self.weights, step=self.step)
        optimizers: Any = self.optimizers()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * (1 - self.step / self.steps)
            optimizer.zero_grad()
        self.manual_backward(total)
        for optimizer in optimizers:
            optimizer.step()
        self.step += 1
        return {"loss": total.detach(), **{f"loss/{name}": value for name, value in values.items()}}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the bases and the people's directions, sparse Adam for the latents."""
        rates, betas = self.settings["rates"], (0.9, 0.99)

        def group(parameter: Tensor, rate: str) -> dict[str, Any]:
            return {"params": [parameter], "lr": rates[rate], "full_rate": rates[rate]}

        dense = [group(self.basis, "basis")]
        if self.blend.requires_grad:
            dense.append(group(self.blend, "basis"))
        if self.directions is not None:
            dense.append(group(self.directions, "latents"))
        sparse = [group(self.latents.weight, "latents"), group(self.expression.weight, "expression")]
        optimizers = [torch.optim.Adam(dense, betas=betas), torch.optim.SparseAdam(sparse, betas=betas)]
        if self.resumed is not None:
            for optimizer, state in zip(optimizers, self.resumed["optimizers"], strict=True):
                optimizer.load_state_dict(state)
        return optimizers

    def checkpoint(self) -> dict[str, Any]:
        """The state from which a killed run resumes, plain."""
        optimizers: Any = self.optimizers()
        states = [optimizer.optimizer.state_dict() for optimizer in optimizers]
        return {"step": self.step, "state": self.state_dict(), "optimizers": states}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Continue from the state that `checkpoint` returned."""
        self.load_state_dict(checkpoint["state"])
        self.step, self.resumed = checkpoint["step"], checkpoint


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


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
    """Start from PCA, train, and write the model and the latents into `folder`; arguments as for `scan_model`."""
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
    expression = decoder.expression.weight.detach().numpy()
    arrays = {"identity": scans.identity, "latents": latents.astype(np.float32), "expression": expression}
    write_arrays(folder.path / LATENTS_FILE, arrays)


def fit_scans(decoder: ScanDecoder, batches: ScanBatches, folder: RunFolder, follow: RunFolder) -> None:
    """Train the auto-decoder, from the last checkpoint of a killed run where there is one."""
    last = folder.path / "checkpoints" / "scans-last.ckpt"
    if last.exists():
        checkpoint = load_state(last)
        require_keys(checkpoint, ("step", "state", "optimizers"), last)
        require_same(checkpoint["state"], decoder.state_dict(), last, REMEDY)
        decoder.resume(checkpoint)
    batches.start = decoder.step
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
    """Shows progress in `run`, and every hundred steps writes a line of metrics into `folder`, and a checkpoint."""

    def __init__(self, folder: RunFolder, run: RunFolder, last: Path) -> None:
        self.folder, self.run, self.last = folder, run, last

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Show, log and save."""
        step, steps = pl_module.step, pl_module.steps
        self.run.progress(step, steps, phase="scans", loss=float(outputs["loss"]))
        if step % CHECKPOINT_STEPS == 0 or step == steps:
            self.folder.log_metrics({"step": step} | {key: float(value) for key, value in outputs.items()})
            save_state(pl_module.checkpoint(), self.last)


def export_model(
    decoder: ScanDecoder, face_model: FaceModel, principal: Principal, start: ScanStart
) -> tuple[FaceModel, np.ndarray]:
    """The trained decoder in the face-model schema, and its latents (N, K) in that schema's convention."""
    basis, latents = decoder.basis.detach().numpy(), decoder.latents.weight.detach().numpy()
    columns, sigma, parameters = export_basis(basis, latents, principal.axes)
    expressions: dict[str, Any] = {}
    if decoder.blend.requires_grad:
        blend = principal.axes @ decoder.blend.detach().numpy()
        names = [f"learned{k:02d}" for k in range(blend.shape[1])]
        expressions = {"expression_basis": blend, "expression_names": names}
    model = face_model.changed(
        mean=start.mean.reshape(-1, 3),
        identity_basis=columns,
        identity_sigma=sigma,
        name="sfm",
        source=f"Sphere Face Model learned from scans, topology of {face_model.name}: {face_model.source}",
        latent_radius=decoder.radius if decoder.sphere else None,
        **expressions,
    )
    return model, parameters
