"""What every term shares: the average over labelled samples, and float32 arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor

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
