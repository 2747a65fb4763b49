"""Vertex attributes at the pixels of a rasterised mesh, differentiable in the vertices too."""

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.render.camera import to_pixels
from recface.render.checks import check_face_index, check_mesh
from recface.render.precision import full_precision


@full_precision
def interpolate(projected: Tensor, triangles: Tensor, face_index: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Vertex attributes interpolated to the pixel centres.

    Which face a pixel sees is taken as given; inside it the barycentric coordinates are recomputed from `projected`,
    so gradients reach attributes and vertices exactly as from PyTorch3D at blur radius 0 (none across a silhouette).
    Compiled kernels with exact gradients on the CPU, `interpolate_torch` elsewhere. On the CPU the result is the same
    run to run and for any number of threads.

    Args:
        projected: (B, V, 3) normalised coordinates; the depth is not used.
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
            f"render: attributes have shape {tuple(attributes.shape)}; "
            f"({projected.shape[0]}, {projected.shape[1]}, channels) is needed"
        )
    pixels = to_pixels(projected, face_index.shape[-1])
    # Not only tidiness: the kernels are compiled for one floating type.
    dtype = torch.promote_types(pixels.dtype, attributes.dtype)
    pixels, attributes = pixels.to(dtype), attributes.to(dtype)
    if projected.device.type == "cpu":
        from recface.render.interpolation_numba import Interpolate

        values = Interpolate.apply(pixels, triangles, face_index, attributes)
    else:
        values = interpolate_torch(pixels, triangles, face_index, attributes)
    return values, (face_index >= 0)[:, None]


def interpolate_torch(pixels: Tensor, triangles: Tensor, face_index: Tensor, attributes: Tensor) -> Tensor:
    """`interpolate` in plain PyTorch, on covered pixels only: the path on CUDA and the reference of the kernels.

    Args:
        pixels: (B, V, 2 or more) vertices in pixels.
        triangles: (F, 3).
        face_index: (B, S, S).
        attributes: (B, V, C).

    Returns:
        (B, C, S, S).
    """
    image, row, column = torch.nonzero(face_index >= 0, as_tuple=True)
    corners = triangles[face_index[image, row, column]]  # (P, 3)
    centre = torch.stack([column, row], dim=-1).to(pixels) + 0.5
    # Barycentric coordinates are ratios of the areas that the centre spans with the corners.
    a, b, c = (pixels[image[:, None], corners, :2] - centre[:, None]).unbind(1)
    areas = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], dim=-1)
    weights = areas / _cross(b - a, c - a)[:, None]
    covered = (weights[..., None] * attributes[image[:, None], corners]).sum(1)
    values = attributes.new_zeros(*face_index.shape, attributes.shape[-1])
    return values.index_put((image, row, column), covered).movedim(-1, 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
