"""Which face does each pixel see? A visibility decision, so without gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.render.checks import check_mesh, check_size

BACKENDS = ("auto", "numba", "pytorch3d")


def check_backend(backend: str) -> str:
    """Return `backend` if it is known.

    Raises:
        RecfaceError: it is not one of `BACKENDS`.
    """
    if backend not in BACKENDS:
        raise RecfaceError(f"render: unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    return backend


@torch.no_grad()
def rasterize(projected: Tensor, triangles: Tensor, size: int | Sequence[int], backend: str = "auto") -> Tensor:
    """Index of the nearest face at every pixel centre.

    Both sides of a face are seen. The backends agree but for pixel centres within rounding of an edge.

    Args:
        projected: (B, V, 3) normalised coordinates from `camera.project`; larger z is nearer.
        triangles: (F, 3) int64, shared by the batch.
        size: side of the square image in pixels.
        backend: "numba" (any CPU), "pytorch3d" (CPU or CUDA), or "auto": PyTorch3D for CUDA tensors, else Numba.

    Returns:
        (B, size, size) int64 on the device of `projected`; -1 is background.

    Raises:
        RecfaceError: a size that is not square, an unknown backend, a backend that is not installed, or triangles
            that do not fit the vertices.
    """
    check_backend(backend)
    side = check_size(size)
    check_mesh(projected, triangles)
    if backend == "pytorch3d" or (backend == "auto" and projected.is_cuda):
        from recface.render.rasterizer_pytorch3d import rasterize_pytorch3d as rasterize_with
    else:
        from recface.render.rasterizer_numba import rasterize_numba as rasterize_with
    return rasterize_with(projected, triangles, side)
