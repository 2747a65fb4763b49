"""Batch norms over the photos of all processes: those of a share alone have other statistics than the batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recface.losses.processes import exchanged_sum, world_size


def synchronize_batch_norms(module: nn.Module, cuda: bool) -> None:
    """Let all batch norms in a module normalize by the statistics of all processes; its state keeps its form.

    PyTorch's own kernels do it on CUDA; they have no counterpart on CPUs.
    """
    if cuda:
        convert_sync_batchnorm(module)
        return
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.forward = partial(_forward, part, part.forward)  # type: ignore[method-assign]


def _forward(norm: Any, alone: Any, photos: Tensor) -> Tensor:
    if not norm.training or world_size() == 1:
        return alone(photos)
    values, dims = photos.float(), [0, *range(2, photos.ndim)]
    shape = [-1, *[1] * (photos.ndim - 2)]
    count = world_size() * values.numel() / values.shape[1]  # every process has as many photos
    mean = exchanged_sum(values.sum(dims)) / count
    centered = values - mean.view(shape)
    variance = exchanged_sum(centered.square().sum(dims)) / count
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    normal = centered * torch.rsqrt(variance + norm.eps).view(shape)
    result = (normal * norm.weight.view(shape) + norm.bias.view(shape)).to(photos.dtype)
    return norm.act(norm.drop(result)) if isinstance(norm, BatchNormAct2d) else result
