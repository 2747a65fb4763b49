"""Shared forward pass and training step of all variants; a variant adds its loss terms and their weights.

A training step encodes photos to coefficients, decodes and projects landmarks, renders a share of the photos, computes
the variant's terms from these, and sums them with their weights. Source: methods.md, "SIR".
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from recface.data import Batch
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.residual import ResidualFaceModel
from recface.losses import landmark_loss, perceptual_loss, pixel_loss, tikhonov_loss, weighted_sum
from recface.losses.processes import by_itself
from recface.networks import Coefficients, ConfidenceMaps, ConfidenceNet, Encoders
from recface.render import Renderer, project
from recface.settings import Config
from recface.variants.conflict import ConflictLog
from recface.variants.optimizer import build_optimizer

MEAN_SCALE = 1 / 90.0
"""Half images per mm of an average face in the suite's framing: where the predicted camera scale starts."""


@dataclass
class Reconstructed:
    """A training batch after its reconstruction: the input of loss terms.

    Attributes:
        coefficients: Output of the networks.
        landmarks: (B, 68, 2) projected landmarks, normalized.
        rows: (R,) samples that were rendered, or None while only landmarks are trained.
        image: (R, 3, S, S) rendered photos.
        mask: (R, 1, S, S) bool, where the head is visible.
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
        if self.rows is None or self.image is None or self.mask is None or not chosen[self.rows].any():
            return part
        kept = chosen[self.rows]
        part.rows = (chosen.cumsum(0) - 1)[self.rows[kept]]  # numbered among the chosen
        part.image, part.mask = self.image[kept], self.mask[kept]
        part.confidence = self.confidence and ConfidenceMaps(*(maps[kept] for maps in self.confidence))
        return part


class Scans(Protocol):
    """Scans with their fitted coefficients, row by row; `recface.scan_stage.stage.ScanModel` is one."""

    @property
    def latents(self) -> np.ndarray:
        """(N, K) identity parameters."""

    @property
    def expression(self) -> np.ndarray:
        """(N, E) coefficients."""

    @property
    def scans(self) -> Any:
        """scans[rows] is (n, V, 3) in mm."""


class Reconstruction(lightning.LightningModule):
    """A network that regresses 3DMM parameters from a photo, and how it is trained.

    Args:
        config: The resolved configuration of the run, plain.
        face_model: Decodes shape; frozen.
        albedo_model: Decodes albedo; frozen.
        num_identities: Number of named people in the training data.
        stage: 1 trains on landmark data alone, 2 on everything.

    Attributes:
        weights: Weight of each term by name: the numbers in the sections of its class and of the bases of that.
        first_step: First step of this process, > 0 where it resumes a killed one.
        conflict: Compares gradients of the terms, where a study asks for it.
        watch: Called with a step's batch, where it is set.
        logged: Losses of the last step and its gradient's norm, by the names that they are logged under; a variant with
            a training step of its own fills it.
        share: Number of the share of a batch that this process trains on, and number of shares: it has every n-th
            sample.
    """

    section: ClassVar[str] = "loss"
    """Section of the configuration that holds the weights of this class's own terms under the terms' names."""

    def __init__(
        self, config: Config, face_model: FaceModel, albedo_model: AlbedoModel, num_identities: int, stage: int
    ) -> None:
        super().__init__()
        self.config, self.num_identities, self.stage = config, num_identities, stage
        sections = [vars(part)["section"] for part in reversed(type(self).__mro__) if "section" in vars(part)]
        self.weights: dict[str, float] = {
            term: weight
            for section in sections
            for term, weight in config[section].items()
            if isinstance(weight, (int, float)) and not isinstance(weight, bool)
        }
        self.first_step = 0
        self.share = (0, 1)
        self.resumed: dict[str, Any] | None = None
        self.conflict: ConflictLog | None = None
        self.watch: Callable[[Batch, Reconstructed], None] | None = None
        self.logged: dict[str, Tensor] = {}
        model = config["model"]
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
            expression_sigma=face_model.expression_sigma,
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.confidence = ConfidenceNet(model["confidence_width"]) if model["confidence"] else None
        self.renderer = Renderer(face_model.triangles, config["scale"]["image_size"])
        self.frozen_trunk: nn.Module | None = None

    @property
    def step(self) -> int:
        """Steps of this stage so far, over all processes that worked on it."""
        return self.first_step + self.global_step

    @abstractmethod
    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """Loss terms of a batch by name; `self.weights` holds a weight for each."""

    def forward(self, image: Tensor) -> Coefficients:
        """Regress coefficients from photos (B, 3, S, S) in [0, 1]."""
        return self.encoders(image.to(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Reconstruct a batch and sum its weighted terms; a term that is NaN or infinite ends the run with its name."""
        if self._trainer is not None:
            size, parts = self._trainer.world_size, self._trainer.accumulate_grad_batches
            self.share = (self.global_rank + size * (batch_index % parts), size * parts)
        face = self.reconstruct(batch)
        terms = self.terms(batch, face)
        if self.watch is not None:
            self.watch(batch, face)
        # Early stage 1 computes no pixel term: only computed terms are weighed.
        weights = {name: self.weights[name] for name in terms if name in self.weights}
        if self.conflict is not None:
            shared = (*self.encoders.trunk.parameters(), *self.encoders.shape.parameters())
            self.conflict.look(self.step, terms, weights, shared)
        total, values = weighted_sum(terms, weights, step=self.step)
        self.logged = {f"loss/{name}": value.float() for name, value in values.items()}
        self.logged["loss/total"] = total.detach().float()
        return total

    def reconstruct(self, batch: Batch) -> Reconstructed:
        """Encode, decode and project a batch, and (once pixels are trained) render part of it."""
        coefficients = self(batch["image"])
        with torch.autocast(self.device.type, enabled=False):
            marks = self.face_model.landmarks(coefficients.identity, coefficients.expression)
            landmarks = project(marks, coefficients.rotation, coefficients.scale, coefficients.translation)[..., :2]
        if not self._trains_pixels():
            return Reconstructed(coefficients, landmarks)
        # Rendering is the dearest part of a step: a share of the samples, other ones every step, serves as well.
        rows, mirrored, counts = self._rendered_rows(len(landmarks))
        seen = coefficients.index(rows)
        with torch.autocast(self.device.type, enabled=False):
            vertices = self.face_model.shape(seen.identity, seen.expression)
            albedo = self._mirror(self.albedo_model(seen.albedo), mirrored)
            rendering = self.renderer(vertices, seen.rotation, seen.scale, seen.translation, albedo, seen.light)
        maps = None if self.confidence is None else self.confidence(batch["image"][rows]).select(mirrored)
        return Reconstructed(coefficients, landmarks, rows, rendering.image, rendering.mask & counts, maps)

    def _trains_pixels(self) -> bool:
        begin = self.config["loss"]["pixel_from"] * self.config["scale"]["stage1_steps"]
        return self.config["loss"]["pixel"] > 0 and (self.stage == 2 or self.step >= begin)

    def _rendered_rows(self, samples: int) -> tuple[Tensor, Tensor, bool]:
        """Which of a share's samples to render, which of these mirrored, half of them, and whether they count.

        Both are chosen in the whole batch: however it is shared, a step is the same. A share without such a sample
        renders one that does not count, since all processes must take the same way.
        """
        every, (number, shares) = self.config["loss"]["pixel_every"], self.share
        chosen = torch.arange(self.step % every, shares * samples, every)
        mirrored = torch.rand(len(chosen), generator=self.step_generator()) < 0.5
        own = chosen % shares == number
        if not (counts := bool(own.any())):
            chosen, own = torch.full_like(chosen, number), torch.arange(len(chosen)) == 0
        return (chosen // shares)[own].to(self.device), mirrored[own].to(self.device), counts

    def _mirror(self, albedo: Tensor, mirrored: Tensor) -> Tensor:
        """Mirror some albedos (B, V, 3) left to right, so that a side that is never seen is learned too."""
        turned = albedo[mirrored][:, self.face_model.mirror]
        return albedo.index_copy(0, mirrored.nonzero().flatten(), turned)

    def step_generator(self) -> torch.Generator:
        """Random numbers that depend on seed and step alone, so that all variants draw the same."""
        return torch.Generator().manual_seed(1_000_003 * self.config["seed"] + self.step)

    def reconstruction_terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The terms that all variants share: landmark, pixel, perceptual, Tikhonov."""
        coefficients = face.coefficients
        terms = {
            "landmark": landmark_loss(face.landmarks, batch["landmarks"], mode=self.config["loss"]["landmark_mode"]),
            "tikhonov_identity": tikhonov_loss(coefficients.identity),
            "tikhonov_expression": tikhonov_loss(self.face_model.whitened_expression(coefficients.expression)),
            "tikhonov_albedo": tikhonov_loss(coefficients.albedo),
        }
        if face.image is not None and face.mask is not None:
            photo, maps = batch["image"][face.rows], face.confidence
            terms["pixel"] = pixel_loss(face.image, photo, face.mask, maps.pixel if maps else None)
            if self.frozen_trunk is not None:
                feature = maps.feature if maps else None
                terms["perceptual"] = perceptual_loss(self.frozen_trunk, face.image, photo, face.mask, feature)
        return terms

    def freeze_trunk_for_perceptual(self) -> None:
        """Keep a frozen copy of the trunk as the perceptual term's network, if that term has a weight.

        The paper's VGG16 would have to be downloaded; the trunk after stage 1 is at hand and knows faces (ours).
        """
        if self.config["loss"]["perceptual"] > 0:
            self.frozen_trunk = copy.deepcopy(self.encoders.trunk).eval().requires_grad_(False)

    def use_scans(self, scans: Scans) -> None:
        """Take the scans that the face model was learned from; only variants that train on them keep them."""

    @torch.no_grad()
    def source_terms(self, batch: Batch, face: Reconstructed) -> dict[int, dict[str, float]]:
        """Loss terms of each source's samples alone, by its number, from a step's reconstruction; changes nothing.

        Terms that a source's samples carry no label for are exactly zero, and left out. Of several processes each has
        the terms of its own samples.
        """
        training = [module for module in self.modules() if module.training]
        for module in training:  # the centers have taken this batch in already
            module.training = False
        try:
            values = {}
            for source in batch["source"].unique().tolist():
                chosen = batch["source"] == source
                part = {key: value[chosen] for key, value in batch.items()}
                with by_itself():
                    terms = self.terms(part, face.select(chosen))
                values[source] = {name: float(value) for name, value in terms.items() if value != 0}
            return values
        finally:
            for module in training:
                module.training = True

    def configure_optimizers(self) -> Any:
        """The configured optimizer under a one-cycle schedule over the stage's steps."""
        settings, steps = self.config["optimizer"], self.config["scale"][f"stage{self.stage}_steps"]
        rate = settings[f"stage{self.stage}_rate"]
        optimizer = build_optimizer(self, settings, rate)
        warmup = max(settings["warmup"], 1.5 / (steps + 1))  # a rise of no step at all divides by zero
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps + 1, pct_start=warmup, cycle_momentum=False
        )
        if self.resumed is not None:
            optimizer.load_state_dict(self.resumed["optimizer"])
            cycle.load_state_dict(self.resumed["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *unused: Any, **also_unused: Any) -> None:
        """Clip by the configured norm; Lightning's own clipping refuses the fused optimizer, which bf16 allows."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.config["optimizer"]["clip"])
        self.logged["gradient_norm"] = norm.detach()
        # Logging through Lightning is slow, so only steps that a logger records are logged.
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it in a helper
        if self.trainer.loggers and (self.global_step + 1) % every == 0:
            self.log_dict(self.logged)

    def trained_state(self) -> dict[str, Tensor]:
        """State of everything that is trained, without the frozen models."""
        frozen = ("albedo_model.", "frozen_trunk.", "renderer.")
        return {key: value for key, value in self.state_dict().items() if not key.startswith(frozen)}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Continue from a checkpoint of `recface.run.callbacks.Checkpoint`."""
        self.load_state_dict(checkpoint["state"], strict=False)  # it leaves out the frozen models
        self.first_step, self.resumed = checkpoint["step"], checkpoint

    def exported(self) -> tuple[FaceModel, Tensor | None]:
        """The face model to decode with outside of training, and the matrix (K, K) from latents to its parameters.

        The parameters are latents @ matrix; the matrix is None where latents are the parameters already.
        """
        model = self.face_model
        return model.exported() if isinstance(model, ResidualFaceModel) else (model, None)
