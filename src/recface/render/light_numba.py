"""Irradiance as a pair of compiled kernels, forward and exact backward."""

import numpy as np
import torch
from numba import njit
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from recface.render.parallel import over_batch


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(normals: ndarray, light: ndarray, values: ndarray) -> None:
    """Fill `values` (B, N, 3); `light` (B, 9, 3) already holds the factors of the basis."""
    for b in range(len(normals)):
        a = light[b]
        for n in range(normals.shape[1]):
            x, y, z = normals[b, n, 0], normals[b, n, 1], normals[b, n, 2]
            xy, yz, zz, xz, xx = x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y
            for c in range(3):
                linear = a[0, c] + a[1, c] * y + a[2, c] * z + a[3, c] * x
                square = a[4, c] * xy + a[5, c] * yz + a[6, c] * zz + a[7, c] * xz + a[8, c] * xx
                values[b, n, c] = linear + square


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(normals: ndarray, light: ndarray, grad: ndarray, grad_normals: ndarray, grad_light: ndarray) -> None:
    """Fill `grad_normals` (B, N, 3) and `grad_light` (B, 9, 3) from `grad` (B, N, 3)."""
    for b in range(len(normals)):
        a = light[b]
        sums = np.zeros((9, 3))
        for n in range(normals.shape[1]):
            if grad[b, n, 0] == 0 and grad[b, n, 1] == 0 and grad[b, n, 2] == 0:  # hidden vertices: about half
                grad_normals[b, n, 0] = grad_normals[b, n, 1] = grad_normals[b, n, 2] = 0.0
                continue
            x, y, z = normals[b, n, 0], normals[b, n, 1], normals[b, n, 2]
            xy, yz, zz, xz, xx = x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y
            gx, gy, gz = 0.0, 0.0, 0.0
            for c in range(3):
                g = grad[b, n, c]
                gx += g * (a[3, c] + a[4, c] * y + a[7, c] * z + 2 * a[8, c] * x)
                gy += g * (a[1, c] + a[4, c] * x + a[5, c] * z - 2 * a[8, c] * y)
                gz += g * (a[2, c] + a[5, c] * y + 6 * a[6, c] * z + a[7, c] * x)
                sums[0, c] += g
                sums[1, c] += g * y
                sums[2, c] += g * z
                sums[3, c] += g * x
                sums[4, c] += g * xy
                sums[5, c] += g * yz
                sums[6, c] += g * zz
                sums[7, c] += g * xz
                sums[8, c] += g * xx
            grad_normals[b, n, 0] = gx
            grad_normals[b, n, 1] = gy
            grad_normals[b, n, 2] = gz
        for k in range(9):
            for c in range(3):
                grad_light[b, k, c] = sums[k, c]


class Irradiance(torch.autograd.Function):
    """`light.irradiance_torch` for CPU tensors of one floating type and light times `light.SH_SCALE`."""

    @staticmethod
    def forward(ctx: FunctionCtx, normals: Tensor, light: Tensor) -> Tensor:
        """Irradiance (B, N, 3)."""
        normals, light = normals.contiguous(), light.contiguous()
        values = torch.empty_like(normals)
        over_batch(_forward, (), (normals, light, values))
        ctx.save_for_backward(normals, light)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of `normals` and `light`."""
        normals, light = ctx.saved_tensors
        grad_normals, grad_light = torch.empty_like(normals), torch.empty_like(light)
        arrays = (normals, light, grad.contiguous(), grad_normals, grad_light)
        over_batch(_backward, (), arrays)
        return grad_normals, grad_light
