"""What every variant does alike: encode, decode, render. What differs is `terms`; `training` has the rest."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from recface.data import Batch
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.residual import ResidualFaceModel
from recface.losses import landmark_loss, perceptual_loss, pixel_loss, tikhonov_loss
from recface.networks import Coefficients, ConfidenceNet, Encoders
from recface.render import Renderer, project
from recface.variants.reconstructed import Reconstructed
from recface.variants.training import Trained

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
