"""What holds a basis that learns from images: its size, orthogonality, smoothness and symmetry, and scans."""

from __future__ import annotations

import torch
from torch import Tensor

from recface.face_model.residual import ResidualFaceModel
from recface.losses.reduce import in_float32
from recface.losses.scan import orthogonality_loss


def basis_terms(model: ResidualFaceModel) -> dict[str, Tensor]:
    """The terms on a learned basis M = fixed part + residual. methods.md, "SFM": names [C], forms ours.

    Each is relative to the fixed part, mode by mode, so that a weight means the same for every face model.

    Args:
        model: The face model.

    Returns:
        basis_size: mean square of the residual over that of the fixed part.
        basis_orthogonal: mean square cosine between two columns of M.
        basis_smooth: mean square of what each vertex of the residual moves beside its neighbours' mean.
        basis_symmetric: mean square of the residual's part that breaks each mode's symmetry.
    """
    fixed = model.identity_basis * model.identity_sigma
    unit = fixed.square().mean(dim=0)
    residual = model.residual
    return {
        "basis_size": (residual.square().mean(dim=0) / unit).mean(),
        "basis_orthogonal": orthogonality_loss(fixed + residual),
        "basis_smooth": (roughness(residual, model.triangles).square().mean(dim=0) / unit).mean(),
        "basis_symmetric": (asymmetry(residual, fixed, model.mirror).square().mean(dim=0) / unit).mean(),
    }


def roughness(field: Tensor, triangles: Tensor) -> Tensor:
    """Each vertex's displacement less the mean of its neighbours': the umbrella Laplacian. Taubin, SIGGRAPH 1995.

    Args:
        field: (3V, K) displacements.
        triangles: (F, 3).

    Returns:
        (3V, K).
    """
    vertices = field.reshape(-1, 3, field.shape[1])
    # Every inner edge occurs in two triangles, once in each direction; at a border the neighbours weigh by halves.
    edges = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    start, end = torch.cat([edges, edges.flip(1)]).T
    sums = torch.zeros_like(vertices).index_add(0, start, vertices[end])
    counts = torch.bincount(start, minlength=len(vertices)).clamp_min(1)
    return (vertices - sums / counts[:, None, None]).reshape(field.shape)


def asymmetry(residual: Tensor, fixed: Tensor, mirror: Tensor) -> Tensor:
    """What of a residual breaks the symmetry that each mode of the fixed part has.

    A mode of a symmetric population is symmetric or antisymmetric, or mixes both; its mirror image has the cosine p in
    [-1, 1] with it. The residual shall have the same symmetry: its mirror image is compared with p times itself.

    Args:
        residual: (3V, K).
        fixed: (3V, K).
        mirror: (V,) index of every vertex's mirror image.

    Returns:
        (3V, K), half the difference.
    """
    parity = (mirrored(fixed, mirror) * fixed).sum(0) / fixed.square().sum(0).clamp_min(1e-12)
    return 0.5 * (mirrored(residual, mirror) - parity * residual)


def mirrored(field: Tensor, mirror: Tensor) -> Tensor:
    """Displacement fields (3V, K) mirrored left to right, in correspondence."""
    vertices = field.reshape(len(mirror), 3, -1)[mirror]
    return (vertices * vertices.new_tensor([-1.0, 1.0, 1.0])[:, None]).reshape(field.shape)


@in_float32
def scan_loss(shape: Tensor, target: Tensor) -> Tensor:
    """Mean squared vertex distance in mm^2 between decoded scans and the scans (B, V, 3)."""
    return (shape - target).square().sum(-1).mean()
