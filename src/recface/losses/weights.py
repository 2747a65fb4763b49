"""The total loss: a weighted sum of named terms.

What every term shares: the average over labelled samples, and float32 arithmetic.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import torch
from torch import Tensor

from recface.errors import RecfaceError

Parameters = ParamSpec("Parameters")


def masked_mean(values: Tensor, valid: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Average `values` where `valid`; exactly zero, with zero gradient, where nothing is.

    The result always depends on `values`, so every process of a distributed run takes part in the same reductions. Each
    process averages over its own labelled samples.

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
    total = torch.where(valid, values, 0.0).sum(dim=dims)
    return total / valid.sum(dim=dims).clamp_min(1)


def in_float32(function: Callable[Parameters, Tensor]) -> Callable[Parameters, Tensor]:
    """Decorate a loss to compute in float32 even under autocast: half-precision arguments are cast, float64 stays."""

    @functools.wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Tensor:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            full: Any = {key: _upcast(value) for key, value in kwargs.items()}
            return function(*(_upcast(value) for value in args), **full)  # type: ignore[arg-type]

    return wrapper


def _upcast(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def weighted_sum(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], step: int | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum the terms with their weights.

    A term of weight zero does not enter the total at all, not even as 0 x NaN, but is reported: what is not trained can
    still be watched.

    Args:
        terms: Value of each computed term, scalars.
        weights: Weight of each term. Names must agree with `terms`; only those of weight zero may be absent there.
        step: Training step, for the message.

    Returns:
        The total, and every term's own value before weighting, detached.

    Raises:
        RecfaceError: If a term has no weight, a weighted term was not computed, no term is weighted, or a weighted term
            is NaN or infinite.
    """
    if missing := [name for name in terms if name not in weights]:
        raise RecfaceError(
            f"loss term '{missing[0]}' has no weight; add it to the config's weights, zero to only watch it"
        )
    active = {name: weight for name, weight in weights.items() if weight != 0}
    if missing := [name for name in active if name not in terms]:
        raise RecfaceError(
            f"loss term '{missing[0]}' has weight {active[missing[0]]} but is not computed; set its weight to zero"
        )
    if not active:
        raise RecfaceError("no loss term has a weight other than zero; nothing to train")
    stacked = torch.stack([terms[name].float() for name in active])
    if not bool(stacked.isfinite().all()):
        _raise_not_finite(dict(zip(active, stacked.tolist(), strict=True)), step)
    total = torch.dot(stacked, stacked.new_tensor(list(active.values())))
    return total, {name: value.detach() for name, value in terms.items()}


def _raise_not_finite(values: dict[str, float], step: int | None) -> None:
    name, value = next((name, value) for name, value in values.items() if not abs(value) < float("inf"))
    what = "NaN" if value != value else "infinite"
    when = "" if step is None else f" at step {step}"
    raise RecfaceError(
        f"loss term '{name}' is {what}{when}; lower the learning rate or this term's weight, or check its labels"
    )
