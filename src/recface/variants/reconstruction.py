"""What every variant does alike: encode, decode, render. What differs is `terms`; `training` has the rest.

A training batch after its reconstruction: what loss terms look at.

How every variant is trained: weighing terms, optimiser and schedule, and going on where a killed run stopped.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from recface.data import Batch
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.residual import ResidualFaceModel
from recface.losses import landmark_loss, perceptual_loss, pixel_loss, tikhonov_loss, weighted_sum
from recface.networks import Coefficients, ConfidenceMaps, ConfidenceNet, Encoders
from recface.render import Renderer, project
from recface.variants.conflict import ConflictLog
from recface.variants.optimizer import build_optimizer


@dataclass
class Reconstructed:
    """One training batch, reconstructed; what the loss terms look at.

    Attributes:
        coefficients: The networks' output.
        landmarks: (B, 68, 2) projected landmarks, normalised.
        rows: (R,) samples that were rendered, or None while only landmarks are trained.
        image: (R, 3, S, S) rendered photos.
        mask: (R, 1, S, S) bool, where the head is seen.
        confidence: Scales of the pixel and feature residuals, or None.
    """

    coefficients: Coefficients
    landmarks: Tensor
    rows: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    confidence: ConfidenceMaps | None = None

    def select(self, chosen: Tensor) -> Reconstructed:
        """The part of some samples: chosen (B,) bool."""
        part = Reconstructed(self.coefficients.index(chosen), self.landmarks[chosen])
        if self.rows is None or not chosen[self.rows].any():
            return part
        kept = chosen[self.rows]
        part.rows = (chosen.cumsum(0) - 1)[self.rows[kept]]  # numbered among the chosen
        part.image, part.mask = self.image[kept], self.mask[kept]
        part.confidence = self.confidence and ConfidenceMaps(*(maps[kept] for maps in self.confidence))
        return part


class Trained(lightning.LightningModule):
    """The training of a network that reconstructs faces; `Reconstruction` has the network.

    Args:
        config: The resolved configuration of the run, plain.
        stage: 1 trains on landmark data alone, 2 on everything.

    Attributes:
        weights: Of the terms by name; the variant sets them.
        first_step: Of this process: where a killed run stopped.
        conflict: Compares gradients, where a study asks for it.
        watch: Sees a step's batch, where one is set.
        encoders: The networks, which the subclass builds.
    """

    encoders: Encoders

    def __init__(self, config: dict[str, Any], stage: int) -> None:
        super().__init__()
        self.config, self.stage = config, stage
        self.weights: dict[str, float] = {}
        self.first_step = 0
        self.resumed: dict[str, Any] | None = None
        self.conflict: ConflictLog | None = None
        self.watch: Callable[[Batch, Reconstructed], None] | None = None

    @property
    def step(self) -> int:
        """Steps of this stage so far, over all processes that worked on it."""
        return self.first_step + self.global_step

    @abstractmethod
    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """Loss terms of a batch by name; `self.weights` holds a weight for each."""

    @abstractmethod
    def reconstruct(self, batch: Batch) -> Reconstructed:
        """Everything that the terms of a batch need."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Weigh the terms of a batch; a term that is no number ends the run with its name."""
        face = self.reconstruct(batch)
        terms = self.terms(batch, face)
        if self.watch is not None:
            self.watch(batch, face)
        # Early stage 1 computes no pixel term: only what was computed is weighed.
        weights = {name: self.weights[name] for name in terms}
        if self.conflict is not None:
            shared = (*self.encoders.trunk.parameters(), *self.encoders.shape.parameters())
            self.conflict.look(self.step, terms, weights, shared)
        total, values = weighted_sum(terms, weights, step=self.step)
        self.log_dict({f"loss/{name}": value for name, value in values.items()}, batch_size=len(batch["image"]))
        self.log("loss/total", total.detach(), batch_size=len(batch["image"]), prog_bar=True)
        return total

    @torch.no_grad()
    def source_terms(self, batch: Batch, face: Reconstructed) -> dict[int, dict[str, float]]:
        """Loss terms of each source's samples alone, from what a step has computed; changes nothing.

        Args:
            batch: The batch of a training step.
            face: Its reconstruction.

        Returns:
            Number of the source to term to value, without the terms that its samples carry no label for (those are
            exactly zero).
        """
        training = [module for module in self.modules() if module.training]
        for module in training:  # the centres have taken this batch in already
            module.training = False
        try:
            values = {}
            for source in batch["source"].unique().tolist():
                chosen = batch["source"] == source
                part = {key: value[chosen] for key, value in batch.items()}
                terms = self.terms(part, face.select(chosen))
                values[source] = {name: float(value) for name, value in terms.items() if value != 0}
            return values
        finally:
            for module in training:
                module.training = True

    def configure_optimizers(self) -> dict[str, Any]:
        """The configured optimiser under a one-cycle schedule over the stage's steps."""
        settings, steps = self.config["optimizer"], self.config["scale"][f"stage{self.stage}_steps"]
        rate = settings[f"stage{self.stage}_rate"]
        optimizer = build_optimizer(self, settings, rate)
        total, rise = steps + 1, settings["warmup"]
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=total, pct_start=rise, cycle_momentum=False
        )
        if self.resumed is not None:
            optimizer.load_state_dict(self.resumed["optimizer"])
            cycle.load_state_dict(self.resumed["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *unused: Any, **also_unused: Any) -> None:
        """Clip by the configured norm; Lightning's own clipping refuses the fused optimiser, which bf16 allows."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.config["optimizer"]["clip"])
        self.log("gradient_norm", norm.detach())

    def trained_state(self) -> dict[str, Tensor]:
        """State of all that is trained, without the frozen models; of a face model, what is trained of it."""
        frozen = ("albedo_model.", "frozen_trunk.", "renderer.")
        return {key: value for key, value in self.state_dict().items() if not key.startswith(frozen)}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint of `recface.run.callbacks.Checkpoint`."""
        self.load_state_dict(checkpoint["state"], strict=False)  # it leaves out the frozen models
        self.first_step, self.resumed = checkpoint["step"], checkpoint


MEAN_SCALE = 1 / 90.0
"""Half images per mm of an average face in the suite's framing: where the predicted scale starts."""


class Reconstruction(Trained):
    """A network that regresses 3DMM parameters from a photo, with the terms of methods.md, "SIR".

    Args:
        config: The resolved configuration of the run, plain.
        face_model: Decodes shape; frozen.
        albedo_model: Decodes albedo; frozen.
        num_identities: Number of named people in the training data.
        stage: 1 trains on landmark data alone, 2 on everything.
    """

    def __init__(
        self, config: dict[str, Any], face_model: FaceModel, albedo_model: AlbedoModel, num_identities: int, stage: int
    ) -> None:
        super().__init__(config, stage)
        self.num_identities = num_identities
        model, size = config["model"], config["scale"]["image_size"]
        self.face_model, self.albedo_model = face_model, albedo_model
        self.encoders = Encoders(
            face_model.num_identity,
            face_model.num_expressions,
            albedo_model.num_modes,
            MEAN_SCALE,
            backbone=model["backbone"],
            shared=model["shared"],
            end=model["end"],
            grid=model["grid"],
            weights=model["weights"],
        ).to(memory_format=torch.channels_last)
        self.confidence = ConfidenceNet(model["confidence_width"]) if model["confidence"] else None
        self.renderer = Renderer(face_model.triangles, size)
        self.frozen_trunk: nn.Module | None = None

    def forward(self, image: Tensor) -> Coefficients:
        """Regress coefficients from photos (B, 3, S, S) in [0, 1]."""
        return self.encoders(image.to(memory_format=torch.channels_last))

    def reconstruction_terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The terms that all variants share: landmark, pixel, perceptual, Tikhonov."""
        coefficients, loss = face.coefficients, self.config["loss"]
        terms = {
            "landmark": landmark_loss(face.landmarks, batch["landmarks"], mode=loss["landmark_mode"]),
            "tikhonov_identity": tikhonov_loss(coefficients.identity),
            "tikhonov_expression": tikhonov_loss(coefficients.expression),
            "tikhonov_albedo": tikhonov_loss(coefficients.albedo),
        }
        if face.image is not None:
            photo, maps = batch["image"][face.rows], face.confidence
            terms["pixel"] = pixel_loss(face.image, photo, face.mask, maps.pixel if maps else None)
            if self.frozen_trunk is not None:
                feature = maps.feature if maps else None
                terms["perceptual"] = perceptual_loss(self.frozen_trunk, face.image, photo, face.mask, feature)
        return terms

    def reconstruct(self, batch: Batch) -> Reconstructed:
        """Encode, decode and project a batch, and (once pixels are trained) render part of it."""
        coefficients = self(batch["image"])
        with torch.autocast(self.device.type, enabled=False):
            marks = self.face_model.landmarks(coefficients.identity, coefficients.expression)
            landmarks = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
        if not self._trains_pixels():
            return Reconstructed(coefficients, landmarks)
        # Rendering is the dearest part of a step: a share of the samples, other ones every step, serves as well.
        every = self.config["loss"]["pixel_every"]
        rows = torch.arange(self.step % every, len(landmarks), every, device=landmarks.device)
        seen = coefficients.index(rows)
        with torch.autocast(self.device.type, enabled=False):
            vertices = self.face_model.shape(seen.identity, seen.expression)
            albedo, mirrored = self._mirror_at_random(self.albedo_model(seen.albedo))
            rendering = self.renderer(vertices, seen.rotation, seen.scale, seen.translation, albedo, seen.light)
        maps = None if self.confidence is None else self.confidence(batch["image"][rows]).select(mirrored)
        return Reconstructed(coefficients, landmarks, rows, rendering.image, rendering.mask, maps)

    def _trains_pixels(self) -> bool:
        begin = self.config["loss"]["pixel_from"] * self.config["scale"]["stage1_steps"]
        return self.config["loss"]["pixel"] > 0 and (self.stage == 2 or self.step >= begin)

    def _mirror_at_random(self, albedo: Tensor) -> tuple[Tensor, Tensor]:
        """Mirror half of the albedos (B, V, 3) left to right: what only one side shows must hold for the other."""
        # The draw depends on seed and step alone, so that every variant mirrors the same samples.
        generator = torch.Generator().manual_seed(1_000_003 * self.config["seed"] + self.step)
        mirrored = (torch.rand(len(albedo), generator=generator) < 0.5).to(albedo.device)
        return torch.where(mirrored.view(-1, 1, 1), albedo[:, self.face_model.mirror], albedo), mirrored

    def exported(self) -> tuple[FaceModel, Tensor | None]:
        """The face model to decode with outside of training, and what latents @ turn become its parameters by.

        Returns:
            The face model, and (K, K), or None where latents are its parameters already.
        """
        model = self.face_model
        return model.exported() if isinstance(model, ResidualFaceModel) else (model, None)

    def freeze_trunk_for_perceptual(self) -> None:
        """Keep a frozen copy of the trunk as the perceptual term's network, if that term has a weight.

        The paper's VGG16 would have to be downloaded; the trunk after stage 1 is at hand and knows faces (ours).
        """
        if self.config["loss"]["perceptual"] > 0:
            self.frozen_trunk = copy.deepcopy(self.encoders.trunk).eval().requires_grad_(False)
