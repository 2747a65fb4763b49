"""The total loss: a weighted sum of named terms, each an average over the samples that carry its label."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.losses.processes import summed, world_size


def weighted_sum(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], step: int | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum the terms with their weights.

    A term of weight zero stays out of the total, so that its NaN cannot spoil it, but is reported: a term that is not
    trained can still be watched.

    Args:
        terms: Value of each computed term, scalars.
        weights: Weight of each term. The names are those of `terms`, which may lack terms of weight zero.
        step: Training step, for the message.

    Returns:
        The total, and every term's own value before weighting, detached.

    Raises:
        RecfaceError: A term has no weight, a weighted term was not computed, no term is weighted, or a weighted term
            is NaN or infinite.
    """
    if missing := [name for name in terms if name not in weights]:
        raise RecfaceError(f"loss term '{missing[0]}' has no weight; set one, 0 to only watch the term")
    active = {name: weight for name, weight in weights.items() if weight != 0}
    if missing := [name for name in active if name not in terms]:
        raise RecfaceError(
            f"loss term '{missing[0]}' has weight {active[missing[0]]} but is not computed; set its weight to 0"
        )
    if not active:
        raise RecfaceError("every loss term has weight 0; give at least one term a weight")
    stacked = torch.stack([terms[name].float() for name in active])
    if not bool(stacked.isfinite().all()):
        name, value = next(pair for pair in zip(active, stacked.tolist(), strict=True) if not math.isfinite(pair[1]))
        raise RecfaceError(
            f"loss term '{name}' is {'NaN' if math.isnan(value) else 'infinite'}"
            f"{'' if step is None else f' at step {step}'}; "
            "lower the learning rate or this term's weight, or check its labels"
        )
    total = torch.dot(stacked, stacked.new_tensor(list(active.values())))
    return total, {name: value.detach() for name, value in terms.items()}


def masked_mean(values: Tensor, valid: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Average `values` where `valid`; exactly zero, with zero gradient, over none.

    Over all dimensions it is the average of the samples of all processes. The result always depends on `values`, so
    every process takes part in the same reductions.

    Args:
        values: Any shape; finite even where not valid (replace unknown labels before any arithmetic: 0 x NaN is NaN in
            the gradient).
        valid: Boolean, broadcastable to `values`.
        dim: Dimensions to average over; None is all of them.

    Returns:
        The averages, of the remaining dimensions.
    """
    valid = valid.expand_as(values)
    dims = tuple(range(values.ndim)) if dim is None else dim
    total, count = torch.where(valid, values, 0.0).sum(dim=dims), valid.sum(dim=dims)
    if dim is None and world_size() > 1:
        total, count = summed(torch.stack([total, count.to(total.dtype)]))
    return total / count.clamp_min(1)
