"""Template protocols: a template is the mean of its photos; templates are verified or identified."""

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional._checks import require_finite, require_same_length


def pool(values: Tensor, group: Tensor) -> Tensor:
    """Mean of the rows of each group.

    Source: methods.md, "Evaluation protocols" [C] (YTF: mean parameter vector per video).

    Args:
        values: (N, ...).
        group: (N,) int64 in 0..G-1, each with a row.

    Returns:
        (G, ...) float64.
    """
    require_same_length(values=values, group=group)
    counts = torch.bincount(group)
    sums = values.new_zeros((len(counts), *values.shape[1:]), dtype=torch.float64).index_add_(0, group, values.double())
    return sums / counts.view(-1, *[1] * (values.ndim - 1))


def identification(scores: Tensor, probe_identity: Tensor, gallery_identity: Tensor, ranks: tuple[int, ...]) -> Tensor:
    """Closed-set identification: share of probes whose own gallery template is among the k most alike.

    Source: field (the CMC curve of IJB-A, Klare et al. 2015); ours: templates tied with the own one come before it as
    often as after it, so that predictions collapsed to the mean score chance.

    Args:
        scores: (N, G) larger = more alike.
        probe_identity: (N,) int64.
        gallery_identity: (G,) int64, each identity once.
        ranks: each k.

    Returns:
        (len(ranks),) in [0, 1].

    Raises:
        RecfaceError: for scores that are not finite, or a probe without exactly one gallery template.
    """
    require_finite("scores", scores)
    own = probe_identity[:, None] == gallery_identity[None]
    if (wrong := (own.sum(dim=1) != 1).nonzero().flatten()).numel():
        row = int(wrong[0])
        raise RecfaceError(f"probe template {row} has {int(own[row].sum())} gallery templates of its person, not one")
    mine = scores[own][:, None]
    before, tied = (scores > mine).sum(dim=1), (scores == mine).sum(dim=1)
    return torch.stack([((k - before) / tied).clamp(0, 1).double().mean() for k in ranks])
