"""Interpolation as a pair of compiled kernels, forward and exact backward."""

import torch
from numba import njit
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from recface.render.parallel import over_batch


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _barycentric(points: ndarray, corners: ndarray, row: int, column: int) -> tuple:
    """Barycentric coordinates of a pixel centre, and the gradients of the first two with respect to it."""
    x0, y0 = points[corners[0], 0], points[corners[0], 1]
    x1, y1 = points[corners[1], 0], points[corners[1], 1]
    x2, y2 = points[corners[2], 0], points[corners[2], 1]
    inverse = 1.0 / ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    w0x, w0y = (y1 - y2) * inverse, (x2 - x1) * inverse
    w1x, w1y = (y2 - y0) * inverse, (x0 - x2) * inverse
    dx, dy = column + 0.5 - x2, row + 0.5 - y2
    return w0x * dx + w0y * dy, w1x * dx + w1y * dy, w0x, w0y, w1x, w1y


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(triangles: ndarray, pixels: ndarray, face_index: ndarray, attributes: ndarray, values: ndarray) -> None:
    """Fill `values` (B, C, S, S)."""
    batch, channels, size, _ = values.shape
    values[:] = 0.0
    for b in range(batch):
        for row in range(size):
            for column in range(size):
                face = face_index[b, row, column]
                if face < 0:
                    continue
                corners = triangles[face]
                i, j, k = corners
                w0, w1, _, _, _, _ = _barycentric(pixels[b], corners, row, column)
                w2 = 1.0 - w0 - w1
                for c in range(channels):
                    value = w0 * attributes[b, i, c] + w1 * attributes[b, j, c] + w2 * attributes[b, k, c]
                    values[b, c, row, column] = value


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(
    triangles: ndarray,
    pixels: ndarray,
    face_index: ndarray,
    attributes: ndarray,
    grad: ndarray,
    grad_pixels: ndarray,
    grad_attributes: ndarray,
) -> None:
    """Fill `grad_pixels` (B, V, D) and `grad_attributes` (B, V, C) from `grad` (B, C, S, S).

    Inside a face the value is a plane over the image, y(p). Moving corner k by d moves the plane under p by -w_k d, so
    the value changes by -w_k (grad y . d).
    """
    batch, channels, size, _ = grad.shape
    grad_pixels[:] = 0.0
    grad_attributes[:] = 0.0
    for b in range(batch):
        for row in range(size):
            for column in range(size):
                face = face_index[b, row, column]
                if face < 0:
                    continue
                corners = triangles[face]
                i, j, k = corners
                w0, w1, w0x, w0y, w1x, w1y = _barycentric(pixels[b], corners, row, column)
                w2 = 1.0 - w0 - w1
                along0, along1 = 0.0, 0.0
                for c in range(channels):
                    g = grad[b, c, row, column]
                    last = attributes[b, k, c]
                    along0 += g * (attributes[b, i, c] - last)
                    along1 += g * (attributes[b, j, c] - last)
                    grad_attributes[b, i, c] += w0 * g
                    grad_attributes[b, j, c] += w1 * g
                    grad_attributes[b, k, c] += w2 * g
                gx, gy = along0 * w0x + along1 * w1x, along0 * w0y + along1 * w1y
                grad_pixels[b, i, 0] -= w0 * gx
                grad_pixels[b, i, 1] -= w0 * gy
                grad_pixels[b, j, 0] -= w1 * gx
                grad_pixels[b, j, 1] -= w1 * gy
                grad_pixels[b, k, 0] -= w2 * gx
                grad_pixels[b, k, 1] -= w2 * gy


class Interpolate(torch.autograd.Function):
    """`interpolation.interpolate_torch` for CPU tensors of one floating type."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        pixels: Tensor,
        triangles: Tensor,
        face_index: Tensor,
        attributes: Tensor,
    ) -> Tensor:
        """Values (B, C, S, S)."""
        inputs = tuple(tensor.contiguous() for tensor in (pixels, triangles, face_index, attributes))
        pixels, triangles, face_index, attributes = inputs
        batch, size, _ = face_index.shape
        values = attributes.new_empty(batch, attributes.shape[-1], size, size)
        arrays = (pixels, face_index, attributes, values)
        over_batch(_forward, (triangles,), arrays)
        ctx.save_for_backward(*inputs)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, Tensor]:
        """Gradients of `pixels` and `attributes`."""
        pixels, triangles, face_index, attributes = ctx.saved_tensors
        grad_pixels, grad_attributes = torch.empty_like(pixels), torch.empty_like(attributes)
        arrays = (pixels, face_index, attributes, grad.contiguous(), grad_pixels, grad_attributes)
        over_batch(_backward, (triangles,), arrays)
        return grad_pixels, None, None, grad_attributes
