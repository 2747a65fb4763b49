"""Vertex attributes at the pixels of a rasterized mesh, differentiable in the vertices too."""

from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from recface.errors import RecfaceError
from recface.render.camera import to_pixels
from recface.render.kernels import check_face_index, check_mesh, compiled, full_precision, over_batch


@full_precision
def interpolate(projected: Tensor, triangles: Tensor, face_index: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Vertex attributes interpolated to the pixel centers.

    Which face a pixel sees is taken as given; inside it the barycentric coordinates are recomputed from `projected`,
    so gradients reach attributes and vertices exactly as from PyTorch3D at blur radius 0 (none across a silhouette).
    Compiled kernels with exact gradients on the CPU, `interpolate_torch` elsewhere. On the CPU the result is the same
    run to run and for any number of threads.

    Args:
        projected: (B, V, 3) normalized coordinates; the depth is not used.
        triangles: (F, 3) int64.
        face_index: (B, S, S) int64 from `rasterize`.
        attributes: (B, V, C), any C: stack several to interpolate them for the price of one geometry.

    Returns:
        values (B, C, S, S), zero on the background, and mask (B, 1, S, S) bool.

    Raises:
        RecfaceError: `triangles`, `face_index` or `attributes` does not fit.
    """
    check_mesh(projected, triangles)
    check_face_index(face_index, len(projected), len(triangles))
    if attributes.ndim != 3 or attributes.shape[:2] != projected.shape[:2]:
        raise RecfaceError(
            f"render: attributes must have shape ({projected.shape[0]}, {projected.shape[1]}, channels), "
            f"not {tuple(attributes.shape)}"
        )
    pixels = to_pixels(projected, face_index.shape[-1])
    # The kernels are compiled for one floating type.
    dtype = torch.promote_types(pixels.dtype, attributes.dtype)
    pixels, attributes = pixels.to(dtype), attributes.to(dtype)
    if projected.device.type == "cpu":
        values = Interpolate.apply(pixels, triangles, face_index, attributes)
    else:
        values = interpolate_torch(pixels, triangles, face_index, attributes)
    return values, (face_index >= 0)[:, None]


def interpolate_torch(pixels: Tensor, triangles: Tensor, face_index: Tensor, attributes: Tensor) -> Tensor:
    """`interpolate` in plain PyTorch, on covered pixels only: the path on CUDA and the reference of the kernels.

    It takes vertices in pixels, and returns the values alone.
    """
    image, row, column = torch.nonzero(face_index >= 0, as_tuple=True)
    corners = triangles[face_index[image, row, column]]  # (P, 3)
    center = torch.stack([column, row], dim=-1).to(pixels) + 0.5
    # Barycentric coordinates are ratios of the areas that the center spans with the corners.
    a, b, c = (pixels[image[:, None], corners, :2] - center[:, None]).unbind(1)
    areas = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], dim=-1)
    weights = areas / _cross(b - a, c - a)[:, None]
    covered = (weights[..., None] * attributes[image[:, None], corners]).sum(1)
    values = attributes.new_zeros(*face_index.shape, attributes.shape[-1])
    return values.index_put((image, row, column), covered).movedim(-1, 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@compiled(inline="always")
def _barycentric(
    points: ndarray, corners: ndarray, row: int, column: int
) -> tuple[float, float, float, float, float, float]:
    """Barycentric coordinates of a pixel center, and the gradients of the first two with respect to it."""
    x0, y0 = points[corners[0], 0], points[corners[0], 1]
    x1, y1 = points[corners[1], 0], points[corners[1], 1]
    x2, y2 = points[corners[2], 0], points[corners[2], 1]
    inverse = 1.0 / ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    w0x, w0y = (y1 - y2) * inverse, (x2 - x1) * inverse
    w1x, w1y = (y2 - y0) * inverse, (x0 - x2) * inverse
    dx, dy = column + 0.5 - x2, row + 0.5 - y2
    return w0x * dx + w0y * dy, w1x * dx + w1y * dy, w0x, w0y, w1x, w1y


@compiled()
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


@compiled()
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
    """`interpolate_torch` by compiled kernels, for CPU tensors of one floating type."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, triangles: Tensor, face_index: Tensor, attributes: Tensor) -> Tensor:
        """Values (B, C, S, S)."""
        inputs = tuple(tensor.contiguous() for tensor in (pixels, triangles, face_index, attributes))
        pixels, triangles, face_index, attributes = inputs
        batch, size, _ = face_index.shape
        values = attributes.new_empty(batch, attributes.shape[-1], size, size)
        over_batch(_forward, (triangles,), (pixels, face_index, attributes, values))
        ctx.save_for_backward(*inputs)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, Tensor]:
        """Gradients of `pixels` and `attributes`."""
        pixels, triangles, face_index, attributes = ctx.saved_tensors
        grad_pixels, grad_attributes = torch.empty_like(pixels), torch.empty_like(attributes)
        arrays = (pixels, face_index, attributes, grad.contiguous(), grad_pixels, grad_attributes)
        over_batch(_backward, (triangles,), arrays)
        return grad_pixels, None, None, grad_attributes
