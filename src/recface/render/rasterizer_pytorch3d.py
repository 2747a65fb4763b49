"""PyTorch3D's rasteriser behind our frame: the CUDA backend, and the reference of the parity tests."""

import torch
from torch import Tensor

from recface.errors import RecfaceError


def to_pytorch3d(projected: Tensor) -> Tensor:
    """Our normalised coordinates in PyTorch3D's: +x *left*, +y up, +z *into* the screen and positive.

    Args:
        projected: (B, V, 3).

    Returns:
        (B, V, 3); the nearest vertex of the batch has depth 1.
    """
    x, y, z = projected.unbind(-1)
    return torch.stack([-x, y, z.detach().amax() + 1 - z], dim=-1)


def rasterize_pytorch3d(projected: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Nearest face of every pixel; see `recface.render.rasterizer.rasterize`, which checks the arguments."""
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise RecfaceError(
            f"render: PyTorch3D does not import ({error}); install easypytorch3d or use render backend 'numba'"
        ) from error
    batch, faces = len(projected), len(triangles)
    meshes = Meshes(to_pytorch3d(projected.detach().float()), triangles.to(projected.device).expand(batch, -1, -1))
    packed = rasterize_meshes(meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False)[0]
    # Faces are numbered through the batch there, and within a mesh here.
    offset = torch.arange(batch, device=projected.device)[:, None, None] * faces
    packed = packed[..., 0]
    return torch.where(packed < 0, packed, packed - offset)
