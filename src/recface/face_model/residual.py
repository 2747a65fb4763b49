"""A face model whose identity basis continues to learn: a fixed part and a trainable residual."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from recface.face_model.linear import export_basis
from recface.face_model.model import FaceModel


class ResidualFaceModel(FaceModel):
    """S = mean + (basis diag(sigma) + residual) a + expression_basis e, with a residual in mm that training changes.

    The residual alone is a parameter, and alone enters `state_dict`. Latents keep the unit that they have with the
    fixed part. methods.md, "SFM", stage 2; the form is ours.

    Args:
        model: The fixed part.
        rate: Learning rate of the basis, relative to the rest of the network.

    Attributes:
        residual_steps: (3V, K) the parameter, in units of `rate` times each mode's root mean square displacement:
            optimizers of Adam's kind move every number by the same amount a step, in which small modes would be lost.
    """

    _unit: Tensor

    def __init__(self, model: FaceModel, rate: float = 0.5) -> None:
        super().__init__(**model.fields())
        self.residual_steps = nn.Parameter(torch.zeros_like(self.identity_basis))
        self.register_buffer("_unit", rate * self.identity_sigma / len(self.identity_basis) ** 0.5, False)

    @property
    def residual(self) -> Tensor:
        """(3V, K) mm per unit latent."""
        return self.residual_steps * self._unit

    @property
    def basis_mm(self) -> Tensor:
        """(3V, K) the whole basis, in mm per unit latent."""
        return self.identity_basis * self.identity_sigma + self.residual

    def weighted(self, identity: Tensor) -> Tensor:
        """Coordinates (B, K) in mm in which Euclidean distance is the distance between shapes, over all vertices."""
        basis = self.basis_mm
        return identity @ torch.linalg.cholesky(basis.T @ basis)

    def shape(self, identity: Tensor, expression: Tensor | None = None) -> Tensor:
        """`FaceModel.shape` with the residual."""
        return super().shape(identity, expression) + _offsets(identity, self.residual)

    def landmarks(self, identity: Tensor, expression: Tensor | None = None) -> Tensor:
        """`FaceModel.landmarks` with the residual."""
        rows = self.at_landmarks(self.residual_steps) * self._unit
        return super().landmarks(identity, expression) + _offsets(identity, rows)

    @torch.no_grad()
    def exported(self) -> tuple[FaceModel, Tensor]:
        """The learned model as a plain one, with the rotation of its latents.

        The basis M = U diag(s) W^T by SVD, so M a = U diag(s) (W^T a): orthonormal U and latents W^T a, whose norms and
        angles are those of a.

        Returns:
            The model, and W (K, K): a @ W are its parameters.
        """
        basis, sigma, rotation = export_basis(self.basis_mm.double().cpu().numpy(), np.eye(self.num_identity))
        return self.changed(identity_basis=basis, identity_sigma=sigma), torch.from_numpy(rotation).float()


def _offsets(identity: Tensor, rows: Tensor) -> Tensor:
    """(B, K) latents through (3N, K) rows to (B, N, 3) mm, in float32 also under autocast."""
    with torch.autocast(rows.device.type, enabled=False):
        return (identity.float() @ rows.T).unflatten(-1, (-1, 3))


def change_of_latents(source: FaceModel, target: FaceModel) -> tuple[Tensor, Tensor]:
    """The affine map from one model's parameters to those of another that decode to the nearest shapes.

    Args:
        source: Face model with K parameters.
        target: Face model of the same topology with L.

    Returns:
        matrix (L, K) and offset (L,): the target's parameters are matrix @ a + offset. By least squares over all
        vertices; exact where the target spans the source's shapes. Ours.
    """
    inverse = target.identity_basis.double().T / target.identity_sigma.double()[:, None]
    matrix = inverse @ (source.identity_basis.double() * source.identity_sigma.double())
    offset = inverse @ (source.mean - target.mean).double().flatten()
    return matrix.float(), offset.float()
