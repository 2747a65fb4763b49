"""SFM's terms: reconstruction of scans, latents on a hypersphere, and an orthogonal, smooth, symmetric basis.

The terms of the scan stage take bases and shapes in any orthonormal coordinates of the 3V vertex coordinates, such as
principal ones: lengths and angles are the same there. Derivations are in docs/sfm.md; forms are ours [O] unless said
otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recface.face_model.residual import ResidualFaceModel
from recface.losses.processes import mean
from recface.render import full_precision


def vertex_loss(offset: Tensor, target: Tensor, vertices: int) -> Tensor:
    """Mean squared distance of corresponding vertices, mm^2, of decoded offsets and scans' (B, D). [C] precursor."""
    return (offset - target).square().sum(dim=1).mean() / vertices


@full_precision
def scan_loss(shape: Tensor, target: Tensor) -> Tensor:
    """`vertex_loss` of decoded shapes and scans (B, V, 3), in training on images."""
    return (shape - target).square().sum(-1).mean()


def sphere_loss(latents: Tensor, radius: float) -> Tensor:
    """Pull of latents (B, K) to a sphere, of R = sqrt(K) in whitened units: mean of (||x|| - R)^2. [A], form [O]."""
    length = torch.sqrt(latents.square().sum(dim=1) + 1e-12)  # finite gradient at the origin
    return mean((length - radius).square())


def on_sphere(latents: Tensor, radius: float | Tensor) -> Tensor:
    """Latents (B, K) moved along their directions to the sphere of radius R. SFM [A]."""
    return radius * functional.normalize(latents, dim=1)


def orthogonality_loss(basis: Tensor) -> Tensor:
    """Mean squared cosine between two different columns of a basis (D, K).

    The precursor has mean (A A^T - I)^2 [C]; ours leaves the columns' lengths free, for they are standard deviations.
    """
    modes = basis.shape[1]
    unit = functional.normalize(basis, dim=0)
    gram = unit.T @ unit
    return (gram - torch.diag(torch.diagonal(gram))).square().sum() / max(modes * (modes - 1), 1)


def smoothness_loss(basis: Tensor, roughness: Tensor, vertices: int) -> Tensor:
    """Expected roughness of a random shape, mm^2: sum over modes of the mean over vertices of ||(L A_k)_v||^2.

    With x ~ N(0, I) this is the expected mean squared mesh Laplacian of the offset A x. `roughness` is the matrix L^T L
    (D, D) in the coordinates of the basis (D, K) in mm. [C] name, [O] form.
    """
    return (basis * (roughness @ basis)).sum() / vertices


def symmetry_loss(basis: Tensor, reflection: Tensor, vertices: int) -> Tensor:
    """Squared distance of a random shape's mirror image from the span of the basis, mm^2 a vertex.

    A model is fair to left and right if the mirror image of every face in its span is in it too; single modes may be
    asymmetric. With P the projector to the span and M the reflection: ||(I - P) M A||^2 / V. `reflection` (D, D) is the
    part of M in the coordinates of the basis (D, K) of full rank; what leaves them counts as outside the span. [C]
    name, [O] form.
    """
    # M keeps lengths: ||(I - P) M A||^2 = ||A||^2 - tr(C^T G^-1 C), C = U^T M A, G = U^T U, with U the unit columns.
    unit = functional.normalize(basis, dim=0)
    cross = unit.T @ (reflection @ basis)
    inside = (cross * torch.linalg.solve(unit.T @ unit, cross)).sum()
    return (basis.square().sum() - inside).clamp_min(0) / vertices


def basis_terms(model: ResidualFaceModel) -> dict[str, Tensor]:
    """The terms on a learned basis M = fixed part + residual. methods.md, "SFM": names [C], forms ours.

    Each is relative to the fixed part, mode by mode, so that a weight means the same for every face model.

    Returns:
        basis_size: Mean square of the residual over that of the fixed part.
        basis_orthogonal: Mean square cosine between two columns of M.
        basis_smooth: Mean square of each vertex's displacement in the residual less its neighbors' mean.
        basis_symmetric: Mean square of the residual's part that breaks each mode's symmetry.
    """
    fixed = model.identity_basis * model.identity_sigma
    unit = fixed.square().mean(dim=0)
    residual = model.residual
    return {
        "basis_size": (residual.square().mean(dim=0) / unit).mean(),
        "basis_orthogonal": orthogonality_loss(fixed + residual),
        "basis_smooth": (umbrella_laplacian(residual, model.triangles).square().mean(dim=0) / unit).mean(),
        "basis_symmetric": (asymmetry(residual, fixed, model.mirror).square().mean(dim=0) / unit).mean(),
    }


def umbrella_laplacian(field: Tensor, triangles: Tensor) -> Tensor:
    """Displacements (3V, K) less the mean of each vertex's neighbors (Taubin, 1995)."""
    vertices = field.reshape(-1, 3, field.shape[1])
    # Every inner edge occurs in two triangles, once in each direction; at a border the neighbors weigh by halves.
    edges = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    start, end = torch.cat([edges, edges.flip(1)]).T
    sums = torch.zeros_like(vertices).index_add(0, start, vertices[end])
    counts = torch.bincount(start, minlength=len(vertices)).clamp_min(1)
    return (vertices - sums / counts[:, None, None]).reshape(field.shape)


def asymmetry(residual: Tensor, fixed: Tensor, mirror: Tensor) -> Tensor:
    """The part (3V, K) of a residual that breaks the symmetry of each mode of the fixed part.

    A mode of a symmetric population is symmetric or antisymmetric, or mixes both; its mirror image has the cosine p in
    [-1, 1] with it. The residual should have the same symmetry: half the difference of its mirror image and p times
    itself is left.
    """
    parity = (mirrored(fixed, mirror) * fixed).sum(0) / fixed.square().sum(0).clamp_min(1e-12)
    return 0.5 * (mirrored(residual, mirror) - parity * residual)


def mirrored(field: Tensor, mirror: Tensor) -> Tensor:
    """Displacement fields (3V, K) mirrored left to right, in correspondence."""
    vertices = field.reshape(len(mirror), 3, -1)[mirror]
    return (vertices * vertices.new_tensor([-1.0, 1.0, 1.0])[:, None]).reshape(field.shape)
