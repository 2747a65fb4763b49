"""Area-weighted vertex normals."""

from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from recface.render.kernels import check_mesh, compiled, full_precision, over_batch


@full_precision
def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals: the normalized sum of the cross products of the faces round a vertex.

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


@compiled()
def _forward(triangles: ndarray, vertices: ndarray, normals: ndarray, lengths: ndarray) -> None:
    """Fill `normals` (B, V, 3) and the `lengths` (B, V) they had before normalization."""
    for b in range(len(vertices)):
        points, sums = vertices[b], normals[b]
        sums[:] = 0.0
        for f in range(len(triangles)):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
            bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for corner in range(3):
                v = triangles[f, corner]
                sums[v, 0] += nx
                sums[v, 1] += ny
                sums[v, 2] += nz
        for v in range(len(sums)):
            x, y, z = sums[v, 0], sums[v, 1], sums[v, 2]
            length = np.sqrt(x * x + y * y + z * z)
            lengths[b, v] = length
            if length > 0.0:
                sums[v, 0], sums[v, 1], sums[v, 2] = x / length, y / length, z / length


@compiled()
def _backward(
    triangles: ndarray, vertices: ndarray, normals: ndarray, lengths: ndarray, grad: ndarray, grad_vertices: ndarray
) -> None:
    """Fill `grad_vertices` (B, V, 3) from `grad` (B, V, 3), the gradient of the unit normals."""
    sums = np.empty(vertices.shape[1:], dtype=vertices.dtype)
    for b in range(len(vertices)):
        points, out = vertices[b], grad_vertices[b]
        out[:] = 0.0
        # Through the normalization: (g - n (n . g)) / length.
        for v in range(len(points)):
            inverse = 1.0 / lengths[b, v] if lengths[b, v] > 0.0 else 0.0
            along = 0.0
            for axis in range(3):
                along += normals[b, v, axis] * grad[b, v, axis]
            for axis in range(3):
                sums[v, axis] = (grad[b, v, axis] - along * normals[b, v, axis]) * inverse
        # Through the cross product n = a x b of each face: d/da = b x g, d/db = g x a.
        for f in range(len(triangles)):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            gx = sums[i, 0] + sums[j, 0] + sums[k, 0]
            gy = sums[i, 1] + sums[j, 1] + sums[k, 1]
            gz = sums[i, 2] + sums[j, 2] + sums[k, 2]
            if gx == 0.0 and gy == 0.0 and gz == 0.0:  # hidden faces: about half
                continue
            ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
            bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
            dax, day, daz = by * gz - bz * gy, bz * gx - bx * gz, bx * gy - by * gx
            dbx, dby, dbz = gy * az - gz * ay, gz * ax - gx * az, gx * ay - gy * ax
            out[j, 0] += dax
            out[j, 1] += day
            out[j, 2] += daz
            out[k, 0] += dbx
            out[k, 1] += dby
            out[k, 2] += dbz
            out[i, 0] -= dax + dbx
            out[i, 1] -= day + dby
            out[i, 2] -= daz + dbz


class VertexNormals(torch.autograd.Function):
    """`vertex_normals_torch` by compiled kernels, for CPU tensors."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, triangles: Tensor) -> Tensor:
        """Unit normals (B, V, 3)."""
        vertices, triangles = vertices.contiguous(), triangles.contiguous()
        normals, lengths = torch.empty_like(vertices), vertices.new_empty(vertices.shape[:2])
        over_batch(_forward, (triangles,), (vertices, normals, lengths))
        ctx.save_for_backward(vertices, triangles, normals, lengths)
        return normals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Gradient of the vertices."""
        vertices, triangles, normals, lengths = ctx.saved_tensors
        grad_vertices = torch.empty_like(vertices)
        arrays = (vertices, normals, lengths, grad.contiguous(), grad_vertices)
        over_batch(_backward, (triangles,), arrays)
        return grad_vertices, None
