"""A linear albedo model: per-vertex color = mean + basis (sigma * a), with a ~ N(0, I)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from recface.face_model.model import FaceModel


class AlbedoModel(nn.Module):
    """Per-vertex linear RGB albedo with whitened parameters (the albedo half of a 3DMM).

    Attributes:
        mean: (V, 3) mean color in [0, 1].
        basis: (3V, A) orthonormal columns.
        sigma: (A,) standard deviation of each mode, descending.
    """

    mean: Tensor
    basis: Tensor
    sigma: Tensor

    def __init__(self, mean: Tensor, basis: Tensor, sigma: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("basis", basis.float())
        self.register_buffer("sigma", sigma.float())

    @property
    def num_modes(self) -> int:
        """Number of albedo parameters A."""
        return self.sigma.numel()

    def forward(self, parameters: Tensor) -> Tensor:
        """Whitened parameters (B, A) to colors (B, V, 3); not clamped, so that the gradient never dies."""
        offset = (parameters * self.sigma) @ self.basis.T
        return self.mean + offset.view(len(parameters), -1, 3)


def own_albedo_model(model: FaceModel) -> AlbedoModel | None:
    """The albedo model of a face model's own files; None where they have no color per vertex."""
    if model.albedo_mean is None or model.albedo_basis is None or model.albedo_sigma is None:
        return None
    return AlbedoModel(model.albedo_mean, model.albedo_basis, model.albedo_sigma)


def fit_albedo_model(samples: np.ndarray, num_modes: int) -> AlbedoModel:
    """Principal components of N > num_modes albedos (N, V, 3), with fixed signs so that two machines agree."""
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    mean = flat.mean(0)
    centered = flat - mean
    # The Gram matrix is N x N: far smaller than 3V x 3V.
    variance, coefficients = np.linalg.eigh(centered @ centered.T / (len(samples) - 1))
    order = np.argsort(variance)[::-1][:num_modes]
    basis = centered.T @ coefficients[:, order]
    basis /= np.linalg.norm(basis, axis=0)
    basis *= np.sign(basis[np.abs(basis).argmax(0), np.arange(num_modes)])
    sigma = np.sqrt(variance[order])
    return AlbedoModel(torch.from_numpy(mean.reshape(-1, 3)), torch.from_numpy(basis), torch.from_numpy(sigma))
