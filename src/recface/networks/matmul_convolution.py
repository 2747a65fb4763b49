"""Convolution of small feature maps as one matrix product, for CPUs.

On maps of 2 x 2 and 4 x 4 pixels, where the late stages of a backbone work on 64-pixel faces, the direct kernels of
oneDNN reach a few percent of what the same processor does in a matrix product (one 512-channel layer on 2 x 2, batch
64, bfloat16: 98 ms against 13 ms, forward and backward). So the windows are unfolded and multiplied. Values and
gradients are those of `torch.nn.Conv2d` up to rounding; parameters and their names are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_MAP = 16  # output pixels; above, the direct kernels are as fast and need no unfolded copy


def use_matmul(module: nn.Module) -> nn.Module:
    """Replace, in place, the plain convolutions inside a module by `MatmulConv2d`, and return it. Ours.

    Parameters, their names and the results stay the same. Grouped, dilated, biased, non-square and subclassed
    convolutions (they change the padding or the weights) stay as they are.
    """
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and _is_plain(child):
            kernel, stride, padding = child.kernel_size[0], child.stride[0], int(child.padding[0])
            channels = child.in_channels, child.out_channels
            replacement = MatmulConv2d(*channels, kernel, stride, padding, bias=False, device="meta")
            replacement.weight = child.weight
            replacement.train(child.training)
            setattr(module, name, replacement)
        else:
            use_matmul(child)
    return module


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Whether `_MatmulConvolution` covers it: square, ungrouped, undilated, without bias, zero-padded."""
    return (
        convolution.groups == 1
        and convolution.bias is None
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and isinstance(convolution.padding, tuple)
        and all(len(set(pair)) == 1 for pair in (convolution.kernel_size, convolution.stride, convolution.padding))
    )


class MatmulConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that switches to a matrix product where that is faster: on a CPU, for small maps.

    `use_matmul` makes it from the kinds of convolution that it covers.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Convolve (B,C,H,W) to (B,O,h,w)."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], self.padding[0]
        rows = (image.shape[-2] + 2 * int(padding) - kernel) // stride + 1
        columns = (image.shape[-1] + 2 * int(padding) - kernel) // stride + 1
        if image.device.type != "cpu" or rows * columns > LARGEST_MAP:
            return super().forward(image)
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            return _MatmulConvolution.apply(image.to(dtype), self.weight.to(dtype), stride, padding)
        return _MatmulConvolution.apply(image, self.weight, stride, padding)


class _MatmulConvolution(torch.autograd.Function):
    """Channels-last 2D convolution: windows (B*h*w, k*k*C) times weights (k*k*C, O)."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        batch, channels, height, width = image.shape
        out, _, kernel, _ = weight.shape
        padded = functional.pad(image.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        rows = (height + 2 * padding - kernel) // stride + 1
        columns = (width + 2 * padding - kernel) // stride + 1
        windows = image.new_empty(batch, rows, columns, kernel, kernel, channels)
        for i, j, view in _shifts(padded, kernel, stride, rows, columns):
            windows[:, :, :, i, j] = view
        windows = windows.view(batch * rows * columns, -1)
        flat_weight = weight.permute(0, 2, 3, 1).reshape(out, -1)  # no copy when the weight is channels-last
        ctx.save_for_backward(windows, flat_weight)
        ctx.geometry = (stride, padding, kernel, rows, columns, padded.shape)
        return (windows @ flat_weight.T).view(batch, rows, columns, out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        windows, flat_weight = ctx.saved_tensors
        stride, padding, kernel, rows, columns, padded_shape = ctx.geometry
        out, channels = flat_weight.shape[0], padded_shape[-1]
        flat = gradient.permute(0, 2, 3, 1).reshape(-1, out)
        image_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            spread = (flat @ flat_weight).view(padded_shape[0], rows, columns, kernel, kernel, channels)
            total = flat.new_zeros(padded_shape, dtype=torch.promote_types(flat.dtype, torch.float32))
            for i, j, view in _shifts(total, kernel, stride, rows, columns):
                view += spread[:, :, :, i, j]
            height, width = padded_shape[1] - 2 * padding, padded_shape[2] - 2 * padding
            inner = total[:, padding : padding + height, padding : padding + width]
            image_gradient = inner.to(flat.dtype).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            weight_gradient = (flat.T @ windows).view(out, kernel, kernel, channels).permute(0, 3, 1, 2)
        return image_gradient, weight_gradient, None, None


def _shifts(padded: Tensor, kernel: int, stride: int, rows: int, columns: int) -> Iterator[tuple[int, int, Tensor]]:
    """For each kernel element (i, j) the view of the padded map (B,H,W,C) that it meets, (B,rows,columns,C)."""
    for i in range(kernel):
        for j in range(kernel):
            yield i, j, padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
