"""Recognition by shape itself: a photo's shape should be nearest to its own person's. Ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recface.losses.total_loss import masked_mean
from recface.render import full_precision


@full_precision
def prototype_loss(
    parameters: Tensor, centers: Tensor, seen: Tensor, identity: Tensor, weight: Tensor, deviation: float
) -> Tensor:
    """Cross-entropy of telling a photo's person by the distances of its shape to those of all people.

    -log( e^(-d_y^2 / 2 t^2) / sum_j e^(-d_j^2 / 2 t^2) ) with d_j the distance to center j: the posterior of the person
    if photos of one scatter around the center with standard deviation t, after Snell et al., *Prototypical Networks*,
    NIPS 2017. CosFace's learned directions push shapes apart for ever; here a photo that is told already pulls no more,
    and nobody is pushed where no shape of a person lies.

    Args:
        parameters: Shape parameters (B,K) in one unit of length.
        centers: Shapes of C people (C,K), constants.
        seen: Which people have a center (C,) bool.
        identity: Person of each photo (B,), int64; -1 = unknown.
        weight: How much each photo counts (B,), >= 0, such as `center_weight`.
        deviation: t, in the unit of the parameters.

    Returns:
        Mean over the photos of people with a center, each times its weight; zero over none.
    """
    person = identity.clamp_min(0)
    valid = (identity >= 0) & seen[person]
    target = centers.detach()
    squared = parameters.square().sum(1, keepdim=True) - 2 * parameters @ target.T + target.square().sum(1)
    logits = (-0.5 / deviation**2 * squared).masked_fill(~seen, torch.finfo(squared.dtype).min)
    loss = functional.cross_entropy(logits, person, reduction="none")
    return masked_mean(weight * torch.where(valid, loss, 0.0), valid)
