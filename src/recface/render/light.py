"""Second-order spherical-harmonics light (Ramamoorthi and Hanrahan, SIGGRAPH 2001)."""

from math import sqrt

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.render.precision import full_precision

# Factors of 1; y, z, x; xy, yz, 3 z^2 - 1, xz, x^2 - y^2.
SH_SCALE = (1.0, sqrt(3), sqrt(3), sqrt(3), sqrt(15), sqrt(15), sqrt(5) / 2, sqrt(15), sqrt(15) / 2)


@full_precision
def sh_basis(normals: Tensor) -> Tensor:
    """The nine real spherical harmonics of degree 0 to 2, scaled so that the first is the constant 1.

    Each is sqrt(4 pi) times the orthonormal real harmonic, without the Condon-Shortley sign: the mean over the sphere
    of the product of two of them is 1 if they are the same and 0 if not. In order:
    1; sqrt(3) (y, z, x); sqrt(15) xy, sqrt(15) yz, sqrt(5)/2 (3 z^2 - 1), sqrt(15) xz, sqrt(15)/2 (x^2 - y^2).
    So coefficient 0 of a light is its mean over all directions. The cosine-lobe factors (1, 2/3, 1/4 relative to
    degree 0) are left to the coefficients.

    Args:
        normals: (..., 3) unit vectors.

    Returns:
        (..., 9).
    """
    x, y, z = normals.unbind(-1)
    functions = (torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return torch.stack(functions, dim=-1) * normals.new_tensor(SH_SCALE)


@full_precision
def irradiance(normals: Tensor, light: Tensor) -> Tensor:
    """Light that falls on each normal; it may be negative where the nine coefficients ring.

    Compiled kernels with exact gradients on the CPU, `irradiance_torch` elsewhere.

    Args:
        normals: (B, N, 3) unit vectors, in the frame of the light.
        light: (B, 9, 3) coefficients of `sh_basis` for linear red, green, blue.

    Returns:
        (B, N, 3).

    Raises:
        RecfaceError: wrong shapes.
    """
    if normals.ndim != 3 or normals.shape[-1] != 3 or light.shape != (len(normals), len(SH_SCALE), 3):
        raise RecfaceError(
            f"render: normals have shape {tuple(normals.shape)} and light {tuple(light.shape)}; "
            "(B, N, 3) and (B, 9, 3) are needed"
        )
    if normals.device.type != "cpu":
        return irradiance_torch(normals, light)
    from recface.render.light_numba import Irradiance

    dtype = torch.promote_types(normals.dtype, light.dtype)
    return Irradiance.apply(normals.to(dtype), light.to(dtype) * light.new_tensor(SH_SCALE, dtype=dtype)[:, None])


def irradiance_torch(normals: Tensor, light: Tensor) -> Tensor:
    """`irradiance` in plain PyTorch: the path on CUDA and the reference of the kernels."""
    return sh_basis(normals) @ light
