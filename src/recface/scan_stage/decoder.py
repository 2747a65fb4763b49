"""SFM's stage 1 (Jiang et al. 2023, arXiv 2112.02238): an auto-decoder of scans on a hypersphere."""

from __future__ import annotations

import math
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from recface.losses import center_loss, cosface_loss, prior_loss, weighted_sum
from recface.losses.basis import orthogonality_loss, smoothness_loss, sphere_loss, symmetry_loss, vertex_loss
from recface.scan_stage.principal import ScanStart


class ScanDecoder(lightning.LightningModule):
    """S_i = mean + A x_i + B e_i with a free latent x_i and expression e_i for each scan, and a free basis A.

    It is trained in the M principal coordinates of the scans, where all terms are what they are on the mesh, at a
    hundredth of the cost (docs/sfm.md, stage 1).

    With `sphere`, latents lie near the sphere of radius sqrt(K) and the directions of people are separated by a margin;
    without, a batch's latents follow N(0, I) instead (the KL of SIR's prior). All other terms are the same.

    Args:
        settings: The configuration's `sfm.scan`.
        start: Where to start from.
        identity: (N,) person of each scan.
        roughness: (M, M) of `Principal.roughness`.
        reflection: (M, M) of `Principal.reflection`.
        vertices: Number of vertices V.
        learn_expression: Whether B is learned too.
    """

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
        self.automatic_optimization = False  # two optimisers: latents move only when their scan is in the batch
        self.settings, self.steps, self.vertices = settings, settings["steps"], vertices
        self.radius = math.sqrt(start.latents.shape[1])
        self.sphere = settings["sphere"]
        names = ("vertex", "center", "orthogonality", "smoothness", "symmetry", "expression")
        own = ("sphere", "separation") if self.sphere else ("prior",)
        self.weights = {name: settings["weights"][name] for name in (*names, *own)}
        self.register_buffer("shift", _tensor(start.shift), persistent=False)
        self.register_buffer("identity", torch.from_numpy(np.asarray(identity)), persistent=False)
        self.register_buffer("roughness", _tensor(roughness), persistent=False)
        self.register_buffer("reflection", _tensor(reflection), persistent=False)
        spread = np.maximum(start.expression.std(axis=0), 1e-3)
        self.register_buffer("expression_spread", _tensor(spread), persistent=False)
        self.basis = nn.Parameter(_tensor(start.identity_basis))
        self.blend = nn.Parameter(_tensor(start.expression_basis), requires_grad=learn_expression)
        latents = start.latents
        if self.sphere:
            latents = latents * (self.radius / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-6))
        self.latents = nn.Embedding.from_pretrained(_tensor(latents), freeze=False, sparse=True)
        self.expression = nn.Embedding.from_pretrained(_tensor(start.expression), freeze=False, sparse=True)
        self.directions = nn.Parameter(self.centres()) if self.sphere else None
        self.step = 0
        self.resumed: dict[str, Any] | None = None

    @torch.no_grad()
    def centres(self) -> Tensor:
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
            "center": center_loss(latents, self.centres(), known, person),
            "orthogonality": orthogonality_loss(self.basis),
            "smoothness": smoothness_loss(self.basis, self.roughness, self.vertices),
            "symmetry": symmetry_loss(self.basis, self.reflection, self.vertices),
            "expression": (expression / self.expression_spread).square().mean(),
        }
        if not self.sphere:
            return terms | {"prior": prior_loss(latents)}
        scale, margin = self.settings["softmax_scale"], self.settings["margin"]
        return terms | {
            "sphere": sphere_loss(latents, self.radius),
            "separation": cosface_loss(latents, self.directions, person, scale, margin),
        }

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Tensor]:
        """One step of both optimisers, at a rate that falls to zero over the stage."""
        total, values = weighted_sum(self.terms(batch), self.weights, step=self.step)
        for optimizer in self.optimizers():
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * (1 - self.step / self.steps)
            optimizer.zero_grad()
        self.manual_backward(total)
        for optimizer in self.optimizers():
            optimizer.step()
        self.step += 1
        return {"loss": total.detach(), **{f"loss/{name}": value for name, value in values.items()}}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the bases and the people's directions, sparse Adam for the latents."""
        rates, betas = self.settings["rates"], (0.9, 0.99)
        groups = [{"params": [self.basis], "lr": rates["basis"], "full_rate": rates["basis"]}]
        if self.blend.requires_grad:
            groups.append({"params": [self.blend], "lr": rates["basis"], "full_rate": rates["basis"]})
        if self.directions is not None:
            groups.append({"params": [self.directions], "lr": rates["latents"], "full_rate": rates["latents"]})
        own = [
            {"params": [self.latents.weight], "lr": rates["latents"], "full_rate": rates["latents"]},
            {"params": [self.expression.weight], "lr": rates["expression"], "full_rate": rates["expression"]},
        ]
        optimizers = [torch.optim.Adam(groups, betas=betas), torch.optim.SparseAdam(own, betas=betas)]
        if self.resumed is not None:
            for optimizer, state in zip(optimizers, self.resumed["optimizers"], strict=True):
                optimizer.load_state_dict(state)
        return optimizers

    def checkpoint(self) -> dict[str, Any]:
        """All that a killed run needs to go on, plain."""
        states = [optimizer.optimizer.state_dict() for optimizer in self.optimizers()]
        return {"step": self.step, "state": self.state_dict(), "optimizers": states}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what `checkpoint` gave."""
        self.load_state_dict(checkpoint["state"])
        self.step, self.resumed = checkpoint["step"], checkpoint


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
