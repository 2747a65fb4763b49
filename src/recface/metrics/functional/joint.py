"""Comparing shapes of two linear face models exactly, in coordinates that hold both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recface.metrics.functional.geometry import coordinate_root


@dataclass(frozen=True)
class JointSpace:
    """Predictions of one face model against truth in another of the same topology.

    Coordinates are [L parameters of the predicting model, K of the true one, 1 or 0 for the difference of the means],
    so that `basis @ coordinates` is the offset in mm from the true model's mean, for either. Nothing is projected:
    what the predicting model cannot express counts as error. Ours.

    Attributes:
        basis: (V, 3, L + K + 1) mm, at the vertices that metrics are taken on.
        root: (L + K + 1, L + K + 1) coordinates @ root have the distances of whole heads, as sigma-weighted parameters
            have within one model.
        sizes: L, K.
    """

    basis: Tensor
    root: Tensor
    sizes: tuple[int, int]

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

    Returns:
        The space.
    """
    columns = [basis * sigma for _, basis, sigma in (predicting, true)]
    columns.append((predicting[0] - true[0]).reshape(-1, 1))
    whole = torch.cat(columns, 1)
    sizes = (predicting[1].shape[1], true[1].shape[1])
    return JointSpace(whole.view(len(mask), 3, -1)[mask], coordinate_root(whole), sizes)
