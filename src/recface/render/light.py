"""Second-order spherical-harmonics light (Ramamoorthi and Hanrahan, SIGGRAPH 2001)."""

from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from recface.errors import RecfaceError
from recface.render.kernels import compiled, full_precision, over_batch

# Factors of 1; y, z, x; xy, yz, 3 z^2 - 1, xz, x^2 - y^2.
SH_SCALE = (1.0, sqrt(3), sqrt(3), sqrt(3), sqrt(15), sqrt(15), sqrt(5) / 2, sqrt(15), sqrt(15) / 2)


@full_precision
def sh_basis(normals: Tensor) -> Tensor:
    """The nine real spherical harmonics of degree 0 to 2, scaled so that the first is the constant 1.

    Each is sqrt(4 pi) times the orthonormal real harmonic, without the Condon-Shortley sign: the mean over the sphere
    of the product of two of them is 1 if they are the same and 0 if not. In order:
    1; sqrt(3) (y, z, x); sqrt(15) xy, sqrt(15) yz, sqrt(5)/2 (3 z^2 - 1), sqrt(15) xz, sqrt(15)/2 (x^2 - y^2).
    So coefficient 0 of a light is its mean over all directions. The cosine-lobe factors (1, 2/3, 1/4 relative to
    degree 0) are left to the coefficients. Unit vectors (..., 3) give (..., 9).
    """
    x, y, z = normals.unbind(-1)
    functions = (torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return torch.stack(functions, dim=-1) * normals.new_tensor(SH_SCALE)


@full_precision
def irradiance(normals: Tensor, light: Tensor) -> Tensor:
    """Light that falls on each normal; negative where the nine coefficients ring.

    Compiled kernels with exact gradients on the CPU, `irradiance_torch` elsewhere.

    Args:
        normals: (B, N, 3) unit vectors, in the frame of the light.
        light: (B, 9, 3) coefficients of `sh_basis` for linear red, green, blue.

    Returns:
        (B, N, 3).

    Raises:
        RecfaceError: Wrong shapes.
    """
    if normals.ndim != 3 or normals.shape[-1] != 3 or light.shape != (len(normals), len(SH_SCALE), 3):
        raise RecfaceError(
            "render: normals must have shape (B, N, 3) and light (B, 9, 3), "
            f"not {tuple(normals.shape)} and {tuple(light.shape)}"
        )
    if normals.device.type != "cpu":
        return irradiance_torch(normals, light)
    dtype = torch.promote_types(normals.dtype, light.dtype)
    return Irradiance.apply(normals.to(dtype), light.to(dtype) * light.new_tensor(SH_SCALE, dtype=dtype)[:, None])


def irradiance_torch(normals: Tensor, light: Tensor) -> Tensor:
    """`irradiance` in plain PyTorch: the path on CUDA and the reference of the kernels."""
    return sh_basis(normals) @ light


@compiled()
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


@compiled()
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
    """`irradiance_torch` by compiled kernels, for CPU tensors of one floating type and light times `SH_SCALE`."""

    @staticmethod
    def forward(ctx: Any, normals: Tensor, light: Tensor) -> Tensor:
        """Irradiance (B, N, 3)."""
        normals, light = normals.contiguous(), light.contiguous()
        values = torch.empty_like(normals)
        over_batch(_forward, (), (normals, light, values))
        ctx.save_for_backward(normals, light)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of `normals` and `light`."""
        normals, light = ctx.saved_tensors
        grad_normals, grad_light = torch.empty_like(normals), torch.empty_like(light)
        over_batch(_backward, (), (normals, light, grad.contiguous(), grad_normals, grad_light))
        return grad_normals, grad_light
