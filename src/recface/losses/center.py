"""Weighted center: photos of one person should give one shape, decided by the frontal and neutral ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recface.losses.processes import gathered
from recface.losses.total_loss import masked_mean
from recface.render import full_precision

EXPRESSION_SCALE = 3.0


def center_weight(angles: Tensor, expression: Tensor) -> Tensor:
    """Weight of a photo in its person's center: 1 if frontal and neutral, 0 in profile. SIR [A][C].

    max(0, cos yaw) max(0, cos pitch) max(0, cos roll) exp(-||expression|| / 3).

    Args:
        angles: Pitch, yaw and roll in radians (B,3), in any order.
        expression: Expression coefficients (B,E): weights in 0..1, or in standard deviations.

    Returns:
        Weights (B,) in [0, 1], without gradient, so that a network cannot lower the loss by turning heads.
    """
    angles, expression = angles.detach().float(), expression.detach().float()
    return angles.cos().clamp_min(0).prod(dim=1) * torch.exp(-expression.norm(dim=1) / EXPRESSION_SCALE)


@full_precision
def center_loss(parameters: Tensor, centers: Tensor, valid: Tensor, identity: Tensor) -> Tensor:
    """1/2 ||a - C_y||^2, averaged over valid samples, zero over none. SIR [A][C] after Wen et al., ECCV 2016, eq. 2.

    A sum over dimensions, as there. The centers (C,K) are constants, and identities (B,) ignored where not valid.
    Parameters (B,K) as `FaceModel.root_mean_square` gives them make this half the mean squared distance of vertices
    from the person's shape, in mm^2; whitened ones count a mode of a fraction of a millimeter as much as the first.
    """
    target = centers.detach()[torch.where(valid, identity, 0)]
    return masked_mean(0.5 * (parameters - target).square().sum(dim=1), valid)


class WeightedCenter(nn.Module):
    """`center_loss` towards running, weighted means.

    The weights touch the centers only: the pull on each photo is the same.

    In the authors' code [C] the centers are parameters of Adam and the weights scale their gradients; Adam divides by
    the size of the gradient and so undoes most of the weighting, and weight decay pulls centers to zero. Ours: centers
    are buffers with a closed form. For each identity in a batch

        mass <- (1 - rate) mass + sum_i w_i,     C <- C + sum_i w_i (a_i - C) / mass,

    which makes C exactly the mean of that person's past predictions with weights w_i (1 - rate)^age, where age counts
    batches with a photo of that person and a weight > 0. A profile photo defines a center only until a frontal one is
    seen. Identities absent from a batch keep their centers, samples without identity touch none, and a person not seen
    yet has no center and no loss.

    Attributes:
        centers: (C,K) in the unit of the parameters.
        mass: (C,) sum of decayed weights; 0 = no center yet.
    """

    centers: Tensor
    mass: Tensor

    def __init__(self, num_identities: int, dimension: int, rate: float = 0.1) -> None:
        """Set up empty centers.

        Args:
            num_identities: Training identities C; at least 1.
            dimension: Shape parameters K.
            rate: Forgetting per batch with that identity, in (0, 1]. The network moves, so old predictions must fade.
        """
        super().__init__()
        self.register_buffer("centers", torch.zeros(num_identities, dimension))
        self.register_buffer("mass", torch.zeros(num_identities))
        self.rate = rate

    def forward(self, parameters: Tensor, identity: Tensor, weight: Tensor) -> Tensor:
        """Loss towards the centers of the past, which, in training mode, then take in this batch.

        Args:
            parameters: Shape parameters (B,K), all in one unit.
            identity: Class of each sample (B,), int64; -1 = unknown.
            weight: `center_weight` of each sample (B,).

        Returns:
            Mean over samples whose identity has a center; zero over none.
        """
        valid = (identity >= 0) & (self.mass[identity.clamp_min(0)] > 0)
        # A copy of the centers is indexed, so the update below does not change what backward sees.
        loss = center_loss(parameters, self.centers, valid, identity)
        if self.training:
            self.update(parameters, identity, weight)
        return loss

    @torch.no_grad()
    def update(self, parameters: Tensor, identity: Tensor, weight: Tensor) -> None:
        """Take a batch into the centers.

        In a distributed run the batches of all processes count as one, and all keep equal centers.
        """
        known = identity >= 0
        weight = torch.where(known, weight.float(), 0.0)
        weighted = weight[:, None] * torch.where(known[:, None], parameters.float(), 0.0)
        columns = gathered(torch.cat([weighted, weight[:, None]], dim=1))  # w a, w
        people, row = torch.unique(gathered(torch.where(known, identity, 0)), return_inverse=True)
        sums = columns.new_zeros(len(people), columns.shape[1]).index_add_(0, row, columns)
        value, added, before = sums[:, :-1], sums[:, -1], self.mass[people]
        # Photos of weight 0, such as profiles, neither move a center nor age it: it would vanish in the end.
        mass = torch.where(added > 0, (1 - self.rate) * before + added, before)
        centers = self.centers[people]
        step = (value - added[:, None] * centers) / mass.clamp_min(torch.finfo(mass.dtype).tiny)[:, None]
        self.centers[people] = centers + torch.where((added > 0)[:, None], step, 0.0)
        self.mass[people] = mass
