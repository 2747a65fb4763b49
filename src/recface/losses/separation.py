"""Inter-class separation: CosFace on shape parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recface.losses.total_loss import masked_mean
from recface.render import full_precision

SMALLEST_NORM = 1e-3  # in the embedding's unit; keeps the gradient finite where a prediction is exactly the mean face


@full_precision
def cosface_loss(embedding: Tensor, weight: Tensor, identity: Tensor, softmax_scale: float, margin: float) -> Tensor:
    """Large-margin cosine loss over the samples with an identity.

    -log( e^(s (cos_y - m)) / (e^(s (cos_y - m)) + sum_{j != y} e^(s cos_j)) ), Wang et al., *CosFace*, CVPR 2018, eq.
    4; on shape parameters: SIR [A].

    SIR passes *sigma-weighted* parameters (`FaceModel.weighted`, millimeters), SFM its latents unless told otherwise.
    The face model's basis is orthonormal, so the distance between weighted parameters is the distance between shapes,
    and an angle between them is an angle between deviations from the mean face. In whitened parameters the last mode, a
    fraction of a millimeter, counts as much as the first: a network can then tell people apart by modes nobody can see.

    Args:
        embedding: Vectors separated by their directions (B,K): sigma-weighted shape parameters, or latents.
        weight: Class directions (C,K), of any length.
        identity: Class of each sample (B,), int64; -1 = unknown.
        softmax_scale: Inverse temperature s.
        margin: Cosine margin m.

    Returns:
        Mean over the samples with identity >= 0; zero over none.
    """
    known, target = identity >= 0, identity.clamp_min(0)
    # In place and by index: a one-hot of 64 photos and 85,742 people alone takes 44 MB.
    logits = cosine_similarity(embedding, weight)
    logits.scatter_add_(1, target[:, None], logits.new_full((len(target), 1), -margin))
    loss = functional.cross_entropy(logits.mul_(softmax_scale), target, reduction="none")
    return masked_mean(loss, known)


def cosine_similarity(embedding: Tensor, weight: Tensor) -> Tensor:
    """Cosines (B,C) of embeddings (B,K) and class directions (C,K)."""
    length = torch.sqrt(embedding.square().sum(dim=1, keepdim=True) + SMALLEST_NORM**2)
    return (embedding / length) @ functional.normalize(weight, dim=1).T


class Separation(nn.Module):
    """`cosface_loss` with learned class directions."""

    def __init__(self, num_identities: int, dimension: int, softmax_scale: float = 16.0, margin: float = 0.2) -> None:
        """Draw a random direction of `dimension` K for each training identity."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_identities, dimension))
        self.softmax_scale, self.margin = softmax_scale, margin

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Loss of embeddings (B,K) as in `cosface_loss`, with identities (B,), -1 = unknown."""
        return cosface_loss(embedding, self.weight, identity, self.softmax_scale, self.margin)
