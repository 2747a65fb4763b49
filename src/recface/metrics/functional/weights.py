"""Weights of people, and what they make photos and pairs of photos weigh.

A photo of person i weighs w_i, a pair of one person w_i, a pair of two people w_i * w_j: these are the multiplicities
of a bootstrap that draws people. Weights of one give the plain metric; `recface.metrics.influence` differentiates in
them.
"""

import torch
from torch import Tensor


def photo_weights(weights: Tensor | None, identities: Tensor) -> Tensor | None:
    """Weight of each photo.

    Args:
        weights: (P,) of the people in ascending order of identity; None where all weigh alike.
        identities: (N,) int64, of P people.

    Returns:
        (N,), or None.
    """
    return None if weights is None else weights[torch.unique(identities, return_inverse=True)[1]]


def pair_weights(photos: Tensor | None, first: Tensor, second: Tensor, same: Tensor) -> Tensor | None:
    """Weight of each pair of photos.

    Args:
        photos: (N,) weights of the photos, or None.
        first: (Q,) int64 photo.
        second: (Q,) int64 photo.
        same: (Q,) bool, whether both show one person.

    Returns:
        (Q,), or None.
    """
    return None if photos is None else photos[first] * torch.where(same, 1.0, photos[second])


def weighted_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over the rows of values (N, ...) in float64, with weights (N,) if given; NaN of no rows."""
    values = values.double()
    if weights is None:
        return values.mean(dim=0)
    return torch.tensordot(weights, values, dims=1) / weights.sum()
