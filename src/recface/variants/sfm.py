"""SFM: the Sphere Face Model (Jiang et al. 2023, arXiv 2112.02238), its second stage, on images."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from recface.data import Batch
from recface.face_model import FaceModel
from recface.face_model.residual import ResidualFaceModel
from recface.losses import Separation, WeightedCenter, center_weight, prior_loss
from recface.losses.basis import basis_terms, on_sphere, scan_loss, sphere_loss
from recface.render import matrix_to_euler
from recface.settings import Config
from recface.variants.baseline import Baseline
from recface.variants.reconstruction import Reconstructed, Scans


class SFM(Baseline):
    """The baseline's terms, and in stage 2 latents on a hypersphere, told apart by direction, on a basis that learns.

    Latents are pulled to a sphere, separated by CosFace on their directions, and gathered at their person's weighted
    center on it. The basis, learned from scans in the first stage, keeps learning as a residual at a rate of its own;
    it is held by its size, by orthogonality, smoothness and symmetry, and by scans that stay in the mix. docs/sfm.md
    derives the terms; most forms are ours (methods.md, "SFM").
    """

    section = "sfm"

    def __init__(self, config: Config, face_model: FaceModel, *models: Any, **options: Any) -> None:
        sfm = config["sfm"]
        if sfm["learn_basis"]:
            face_model = ResidualFaceModel(face_model, sfm["basis_rate"])
        super().__init__(config, face_model, *models, **options)
        dimension = face_model.num_identity
        self.radius = sfm["radius"] * math.sqrt(dimension)
        if sfm["sphere"] > 0:  # which says where latents lie; Tikhonov would pull them to its center
            self.weights["tikhonov_identity"] = 0.0
        self.separation = Separation(self.num_identities, dimension, sfm["softmax_scale"], sfm["margin"])
        self.center = WeightedCenter(self.num_identities, dimension, sfm["center_rate"])
        self.scans: Scans | None = None  # set where the scans stay in the mix

    def use_scans(self, scans: Scans) -> None:
        """Keep the first stage's scans in the mix, if their term has a weight."""
        if self.weights["scans"] > 0:
            self.scans = scans

    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """The baseline's terms, those on the latents, and those on the basis."""
        coefficients, person = face.coefficients, batch["identity"]
        angles = matrix_to_euler(coefficients.rotation.detach())
        frontal = center_weight(angles, self.face_model.whitened_expression(coefficients.expression))
        latents = coefficients.identity
        # A direction in latents, or one in space: the latter tells people apart by what can be seen of them.
        directions = latents if self.config["sfm"]["separate"] == "latents" else self.face_model.weighted(latents)
        terms = super().terms(batch, face) | {"separation": self.separation(directions, person)}
        if self.weights["sphere"] > 0:
            # Relative to the radius: a weight means the same for every face model.
            terms["sphere"] = sphere_loss(latents / self.radius, 1.0)
            terms["center"] = self.center(on_sphere(latents, self.radius), person, frontal)
        else:
            terms["prior"] = prior_loss(latents)
            terms["center"] = self.center(latents, person, frontal)
        if isinstance(self.face_model, ResidualFaceModel):
            terms |= basis_terms(self.face_model)
            if self.scans is not None:
                terms["scans"] = self._scan_term(self.scans)
        return terms

    def _scan_term(self, scans: Scans) -> Tensor:
        """How well the basis still decodes some scans' latents; other scans every step, the same in every run."""
        count = self.config["sfm"]["scans_each_step"]
        rows = torch.randint(len(scans.latents), (count,), generator=self.step_generator()).numpy()
        arrays = (scans.latents[rows], scans.expression[rows], scans.scans[rows])
        latents, expression, target = (torch.from_numpy(array).to(self.device) for array in arrays)
        return scan_loss(self.face_model.shape(latents, expression), target)
