"""Terms of SFM's scan stage: reconstruction, the hypersphere, and what a basis should be like.

All take bases and shapes in any orthonormal coordinates of the 3V vertex coordinates, such as principal ones: lengths
and angles are the same there. Derivations are in docs/sfm.md; forms are ours [O] unless said otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def vertex_loss(offset: Tensor, target: Tensor, vertices: int) -> Tensor:
    """Mean squared distance of corresponding vertices, mm^2. SFM stage 1, [C] precursor.

    Args:
        offset: (B, D) decoded offsets from the mean.
        target: (B, D) those of the scans.
        vertices: Number of vertices V.
    """
    return (offset - target).square().sum(dim=1).mean() / vertices


def sphere_loss(latents: Tensor, radius: float) -> Tensor:
    """Pull of latents to a sphere: mean of (||x|| - R)^2. The sphere is SFM's [A], this form is ours [O].

    Args:
        latents: (B, K).
        radius: R; sqrt(K) in whitened units.
    """
    length = torch.sqrt(latents.square().sum(dim=1) + 1e-12)  # finite gradient at the origin
    return (length - radius).square().mean()


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

    With x ~ N(0, I) this is the expected mean squared mesh Laplacian of the offset A x. [C] name, [O] form.

    Args:
        basis: (D, K) in mm.
        roughness: (D, D) matrix L^T L in the coordinates of the basis.
        vertices: Number of vertices V.
    """
    return (basis * (roughness @ basis)).sum() / vertices


def symmetry_loss(basis: Tensor, reflection: Tensor, vertices: int) -> Tensor:
    """How far the mirror image of a random shape lies from the span of the basis, mm^2 a vertex.

    A model is fair to left and right if the mirror image of every face in its span is in it too; single modes may well
    be asymmetric. With P the projector to the span and M the reflection: ||(I - P) M A||^2 / V. [C] name, [O] form.

    Args:
        basis: (D, K) in mm, of full rank.
        reflection: (D, D) the part of M in the coordinates of the basis; what leaves them counts as outside the span.
        vertices: Number of vertices V.
    """
    # M keeps lengths: ||(I - P) M A||^2 = ||A||^2 - tr(C^T G^-1 C), C = U^T M A, G = U^T U, with U the unit columns.
    unit = functional.normalize(basis, dim=0)
    cross = unit.T @ (reflection @ basis)
    inside = (cross * torch.linalg.solve(unit.T @ unit, cross)).sum()
    return (basis.square().sum() - inside).clamp_min(0) / vertices
