"""Terms of the scan stage of SFM: reconstruction, hypersphere, and what a basis should be like. Forms ours, [O]."""

from __future__ import annotations

import torch
from torch import Tensor


def vertex_loss(offset: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of corresponding vertices, mm^2. SFM stage 1, [C] precursor.

    Args:
        offset: (B, 3V) decoded.
        target: (B, 3V) scanned.
    """
    return 3 * (offset - target).square().mean()


def sphere_loss(latents: Tensor, radius: float) -> Tensor:
    """Pull of latents to a sphere: mean (||x|| - R)^2. The sphere is SFM's [A], this form is ours [O].

    Args:
        latents: (B, K).
        radius: R; sqrt(K) in whitened units.
    """
    length = torch.sqrt(latents.square().sum(dim=1) + 1e-12)  # finite gradient at the origin
    return (length - radius).square().mean()


def orthogonality_loss(basis: Tensor) -> Tensor:
    """Mean squared cosine between two different columns of a basis (D, K). [C] has mean (A A^T - I)^2; ours [O]
    leaves the columns' lengths free, for they are standard deviations in mm.
    """
    if basis.shape[1] < 2:
        return basis.sum() * 0.0
    unit = torch.nn.functional.normalize(basis, dim=0)
    gram = unit.T @ unit
    off = gram - torch.diag(torch.diagonal(gram))
    return off.square().sum() / (basis.shape[1] * (basis.shape[1] - 1))


def smoothness_loss(basis: Tensor, laplacian: Tensor) -> Tensor:
    """Roughness of a random shape, mm^2 a vertex: sum over modes of the mean over vertices of ||(L A_k)_v||^2.

    With x ~ N(0, I) this is the expected mean squared Laplacian of the offset A x. [C] name, [O] form.

    Args:
        basis: (3V, K) in mm.
        laplacian: (V, V) sparse, rows sum to zero.
    """
    count = laplacian.shape[0]
    return torch.sparse.mm(laplacian, basis.reshape(count, -1)).square().sum() / count


def symmetry_loss(basis: Tensor, mirror: Tensor) -> Tensor:
    """How far the mirror image of a random shape lies from the span of the basis, mm^2 a vertex.

    A model is fair to left and right if a face and its mirror image are both in its span; single modes may well be
    asymmetric. With P the projector to the span and M the reflection: ||(I - P) M A||^2 / V. [C] name, [O] form.

    Args:
        basis: (3V, K) in mm, of full rank.
        mirror: (V,) index of each vertex's mirror image.
    """
    count, modes = len(mirror), basis.shape[1]
    reflection = basis.new_tensor([-1.0, 1.0, 1.0])[:, None]
    reflected = (basis.view(count, 3, modes)[mirror] * reflection).reshape(-1, modes)
    # ||(I - P) R||^2 = ||R||^2 - tr(C^T G^-1 C) with G = A^T A, C = A^T R; equal columns' lengths keep G well posed.
    length = basis.norm(dim=0)
    unit = basis / length
    cross = unit.T @ reflected
    inside = (cross * torch.linalg.solve(unit.T @ unit, cross)).sum()
    return (reflected.square().sum() - inside).clamp_min(0) / count
