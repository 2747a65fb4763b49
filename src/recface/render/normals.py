"""Area-weighted vertex normals."""

import torch
from torch import Tensor

from recface.render.checks import check_mesh
from recface.render.precision import full_precision


@full_precision
def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals: the normalised sum of the cross products of the faces round a vertex.

    Faces wound anticlockwise as seen from outside give outward normals. Compiled kernels with exact gradients on the
    CPU, `vertex_normals_torch` elsewhere.

    Args:
        vertices: (B, V, 3) in any unit.
        triangles: (F, 3) int64.

    Returns:
        (B, V, 3); zero, with zero gradient, where a vertex has no face or its faces cancel.

    Raises:
        RecfaceError: `triangles` does not fit `vertices`.
    """
    check_mesh(vertices, triangles)
    if vertices.device.type != "cpu":
        return vertex_normals_torch(vertices, triangles)
    from recface.render.normals_numba import VertexNormals

    return VertexNormals.apply(vertices, triangles)


def vertex_normals_torch(vertices: Tensor, triangles: Tensor) -> Tensor:
    """`vertex_normals` in plain PyTorch: the path on CUDA and the reference of the kernels."""
    corner0, corner1, corner2 = vertices[:, triangles].unbind(-2)
    faces = torch.linalg.cross(corner1 - corner0, corner2 - corner0, dim=-1)
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(1, triangles[:, corner], faces)
    length = torch.linalg.vector_norm(summed, dim=-1, keepdim=True)
    return summed / length.masked_fill(length == 0, torch.inf)
