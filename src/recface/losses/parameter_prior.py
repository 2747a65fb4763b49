"""Parameters as the face model's prior has them: a batch distributed like it, or each photo close to its mean."""

from __future__ import annotations

import torch
from torch import Tensor

from recface.losses.processes import mean, summed, world_size
from recface.render import full_precision

VARIANCE_FLOOR = 1e-4


@full_precision
def prior_loss(parameters: Tensor, floor: float = VARIANCE_FLOOR) -> Tensor:
    """KL divergence to N(0, 1) of a normal distribution with the batch's mean and variance, per dimension.

    Mean over k of 1/2 (v_k + m_k^2 - 1 - log v_k), SIR [A][C], with one mean m_k per dimension as in the second version
    of their code; the first has one mean over all entries, and divides the sum by the batch (K / batch times ours).

    Every sample (B,K) of all processes counts, with or without labels: statistics of a few are biased (0.044 at 24
    samples of a perfect normal distribution). The floor is added to v_k inside the logarithm: a collapsed dimension
    gets a finite loss and, unlike with a clamp, a gradient that revives it.

    Returns:
        The divergence, >= -floor/2; exactly zero for fewer than two samples.
    """
    if world_size() == 1:
        if len(parameters) < 2:
            return parameters.sum() * 0.0
        variance, center = torch.var_mean(parameters, dim=0, correction=0)
    else:  # about the mean of all: a mean of squares less a squared mean would cancel
        count = summed(parameters.new_tensor(float(len(parameters))))
        center = summed(parameters.sum(dim=0)) / count
        variance = summed((parameters - center.detach()).square().sum(dim=0)) / count
    return 0.5 * (variance + center.square() - 1 - torch.log(variance + floor)).mean()


@full_precision
def tikhonov_loss(parameters: Tensor) -> Tensor:
    """Mean of a^2 over samples and dimensions of parameters (B,N) or expression coefficients; zero over none.

    SIR [C] has (a / sigma)^2: whitened parameters are divided already.
    """
    if world_size() > 1:
        return mean(parameters.square())
    return parameters.square().sum() / max(parameters.numel(), 1)
