"""Tikhonov term: parameters close to the mean of their prior."""

from __future__ import annotations

from torch import Tensor

from recface.losses.reduce import in_float32


@in_float32
def tikhonov_loss(parameters: Tensor) -> Tensor:
    """Mean of a^2 over samples and dimensions. SIR [C], (a / sigma)^2 there: whitened parameters are divided already.

    Args:
        parameters: Whitened shape or albedo parameters, or expression coefficients (B,N).

    Returns:
        The mean; zero for an empty batch or no parameters.
    """
    return parameters.square().sum() / max(parameters.numel(), 1)
