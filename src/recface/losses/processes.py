"""Sums over all processes of a distributed training, so that a loss is one of the whole batch and not of shares.

On one process nothing here computes anything. A mean of the processes' means would weigh photos by how many labels
their share happens to hold, and statistics of a share are biased.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_by_itself: ContextVar[bool] = ContextVar("by_itself", default=False)


@contextmanager
def by_itself() -> Iterator[None]:
    """Let this process compute without the others, which take no part in what is inside."""
    token = _by_itself.set(True)
    try:
        yield
    finally:
        _by_itself.reset(token)


def world_size() -> int:
    """Number of processes that compute together: 1 without a process group, and inside `by_itself`."""
    if _by_itself.get() or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 1
    return torch.distributed.get_world_size()


def summed(share: Tensor) -> Tensor:
    """Sum of all processes' shares, for a loss that is the same function of it everywhere.

    The gradient reaches this process's share alone, times the number of processes: the mean of the processes'
    gradients, which DDP takes, is then that of one process with all samples, without a second exchange.
    """
    size = world_size()
    if size == 1:
        return share
    total = share.detach().clone()
    torch.distributed.all_reduce(total)
    return total + size * (share - share.detach())


def exchanged_sum(share: Tensor) -> Tensor:
    """Sum of all processes' shares, for values that each process goes on to use in another way.

    The backward pass sums the gradients of all processes, as a batch norm needs it.
    """
    if world_size() == 1:
        return share
    from torch.distributed.nn import functional  # a second's import, for this alone

    return functional.all_reduce(share)


def mean(values: Tensor) -> Tensor:
    """Mean of all processes' values (N, ...), one for each sample; their numbers may differ."""
    if world_size() == 1:
        return values.mean()
    total, count = summed(torch.stack([values.sum(), values.new_tensor(float(values.numel()))]))
    return total / count.clamp_min(1)


def gathered(rows: Tensor) -> Tensor:
    """All processes' rows (B, ...), in the order of the processes, without gradient; B is the same for all."""
    size = world_size()
    if size == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(size)]
    torch.distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
