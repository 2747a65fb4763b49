"""Distances between neutral shapes of one or two linear face models, from parameters, without decoding every mesh.

Throughout, `basis` (V, 3, K) holds the sigma-weighted rows of the masked vertices, so that `basis @ a` is the offset
in mm of the shape with whitened parameters `a` from the mean shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite, require_modes


def check_basis(parameters: Tensor, basis: Tensor, name: str = "parameters") -> None:
    """Raises RecfaceError unless `basis` is (V, 3, K) and `parameters` is a finite (N, K)."""
    if basis.ndim != 3 or basis.shape[1] != 3:
        raise RecfaceError(f"basis has shape {tuple(basis.shape)}, expected (V, 3, K): sigma-weighted rows of the mask")
    require_modes(name, parameters, basis.shape[2])
    require_finite(name, parameters)


def geometry_distance_pairs(
    parameters: Tensor, first: Tensor, second: Tensor, basis: Tensor, chunk: int = 512
) -> Tensor:
    """Mean per-vertex distance of pairs of neutral shapes.

    Source: ours (methods.md, "Metrics": geometry verification). The mean shape cancels, so a pair costs one product of
    its parameter difference with the basis; one product per axis keeps the intermediate inside the cache.

    Args:
        parameters: (N, K) whitened.
        first: (Q,) int64 rows of `parameters`, for Q pairs.
        second: (Q,) int64 rows of `parameters`.
        basis: (V, 3, K) mm.
        chunk: pairs held at a time.

    Returns:
        (Q,) mm, in the precision of `parameters`.

    Raises:
        RecfaceError: for mismatched sizes or parameters that are not finite.
    """
    check_basis(parameters, basis)
    axes = [basis[:, axis].T.to(parameters.dtype).contiguous() for axis in range(3)]
    distances = parameters.new_empty(len(first))
    for start in range(0, len(first), chunk):
        rows = slice(start, start + chunk)
        difference = parameters[first[rows]] - parameters[second[rows]]
        squared = (difference @ axes[0]).square_()
        for axis in axes[1:]:
            squared.add_((difference @ axis).square_())
        distances[rows] = squared.sqrt_().mean(dim=1)
    return distances


def geometry_coordinates(parameters: Tensor, basis: Tensor) -> Tensor:
    """Coordinates in which Euclidean distance is the root mean square vertex distance of two neutral shapes in mm.

    Source: ours. With the Gram matrix G = B^T B / V of the masked basis, the RMS distance is sqrt((a-b)^T G (a-b)); the
    coordinates are L^T a with G = L L^T. L comes from the eigenvectors, as a mask can leave G singular.

    Args:
        parameters: (N, K) whitened.
        basis: (V, 3, K) mm.

    Returns:
        (N, K) mm, float64.

    Raises:
        RecfaceError: for mismatched sizes or parameters that are not finite.
    """
    check_basis(parameters, basis)
    return parameters.double() @ coordinate_root(basis.reshape(-1, basis.shape[2])) / basis.shape[0] ** 0.5


def coordinate_root(rows: Tensor) -> Tensor:
    """L (K, K) of B^T B = L L^T in float64, for rows B (N, K): parameters @ L lie as far apart as B @ parameters."""
    rows = rows.double()
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    return vectors * values.clamp_min(0).sqrt()


@dataclass(frozen=True)
class JointSpace:
    """Predictions of one face model against truth in another of the same topology.

    Coordinates are [L parameters of the predicting model, K of the true one, 1 or 0 for the difference of the means],
    so that `basis @ coordinates` is the offset in mm from the true model's mean, for either. Nothing is projected:
    what the predicting model cannot express counts as error. Ours.
    """

    basis: Tensor  # (V, 3, L + K + 1) mm, at the vertices that metrics are taken on
    root: Tensor
    """(L + K + 1, L + K + 1) coordinates @ root have the distances of whole heads, as sigma-weighted parameters have
    within one model."""
    sizes: tuple[int, int]  # L, K

    def predicted(self, parameters: Tensor) -> Tensor:
        """Coordinates of predicted shapes, (N, L) to (N, L + K + 1)."""
        rest = parameters.new_zeros(len(parameters), self.sizes[1])
        return torch.cat([parameters, rest, parameters.new_ones(len(parameters), 1)], 1)

    def true(self, parameters: Tensor) -> Tensor:
        """Coordinates of true shapes, (N, K) to (N, L + K + 1)."""
        first = parameters.new_zeros(len(parameters), self.sizes[0])
        return torch.cat([first, parameters, parameters.new_zeros(len(parameters), 1)], 1)


def joint_space(
    predicting: tuple[Tensor, Tensor, Tensor], true: tuple[Tensor, Tensor, Tensor], mask: Tensor
) -> JointSpace:
    """Build the space of two models.

    Args:
        predicting: mean (V, 3), identity_basis (3V, L) and identity_sigma (L,) of the model of the predictions.
        true: The same of the model of the truth, with K modes.
        mask: (V,) bool, the vertices that metrics are taken on.
    """
    columns = [basis * sigma for _, basis, sigma in (predicting, true)]
    columns.append((predicting[0] - true[0]).reshape(-1, 1))
    whole = torch.cat(columns, 1)
    sizes = (predicting[1].shape[1], true[1].shape[1])
    return JointSpace(whole.view(len(mask), 3, -1)[mask], coordinate_root(whole), sizes)
