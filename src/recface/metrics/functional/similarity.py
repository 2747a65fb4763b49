"""Similarities of pairs of predictions: cosine and Euclidean, on parameters and on neutral geometry.

Template protocols: a template is the mean of its photos; templates are verified or identified.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.geometry import geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.requirements import require_finite, require_same_length
from recface.metrics.functional.verification import Pairs, geometry_scores

CHUNK = 1024


def vector_scores(vectors: Tensor, pairs: Pairs, *, cosine: bool) -> Tensor:
    """Cosine, or minus the Euclidean distance, of each pair's vectors, in float64.

    Source: methods.md, "Evaluation protocols" [C]. Pairs are taken a chunk at a time: IJB-C has 15.7 million.

    Args:
        vectors: (N, D).
        pairs: P pairs of rows.
        cosine: which of the two.

    Returns:
        (P,) larger = more alike; the cosine is 0 where a vector is zero.

    Raises:
        RecfaceError: for vectors that are not (N, D) or not finite.
    """
    if vectors.ndim != 2:
        raise RecfaceError(f"parameters have shape {tuple(vectors.shape)}, expected (N, K): one row per sample")
    require_finite("parameters", vectors)
    norms = vectors.norm(dim=1, dtype=torch.float64) if cosine else None
    parts = []
    for first, second in zip(pairs.first.split(CHUNK), pairs.second.split(CHUNK), strict=True):
        a, b = vectors[first].double(), vectors[second].double()  # a chunk's doubles stay in the cache
        if norms is None:
            parts.append(-(a - b).norm(dim=1))
        else:
            parts.append((a * b).sum(dim=1) / (norms[first] * norms[second]).clamp_min(1e-300))
    return torch.cat(parts)


def linear_geometry_scores(parameters: Tensor, basis: Tensor, pairs: Pairs, *, cosine: bool) -> Tensor:
    """`mesh_scores` of the neutral shapes of a linear face model, without decoding them.

    Source: `geometry_distance_pairs` and `geometry_coordinates`.

    Args:
        parameters: (N, K).
        basis: (M, 3, K) mm per unit of parameter.
        pairs: P pairs of rows.
        cosine: which of the two.

    Returns:
        (P,) larger = more alike.
    """
    if cosine:
        return vector_scores(geometry_coordinates(parameters - parameters.mean(dim=0), basis), pairs, cosine=True)
    return -geometry_distance_pairs(parameters, pairs.first, pairs.second, basis)


def mesh_scores(decode: Callable[[Tensor], Tensor], count: int, pairs: Pairs, *, cosine: bool) -> Tensor:
    """Minus the mean per-vertex distance, or the cosine of the offsets from the mean shape of all predictions.

    Source: the distance is ours (methods.md, "Metrics"); the cosine of shapes needs an origin, and that this is the
    mean of the method's own predictions is ours [O], as a method's mean face is not always known.

    Args:
        decode: From rows (C,) int64 to neutral shapes (C, V, 3) in mm, of one topology.
        count: number of shapes N.
        pairs: P pairs of rows.
        cosine: which of the two.

    Returns:
        (P,) larger = more alike.
    """
    if not cosine:
        return geometry_scores(decode, pairs)
    chunks = torch.arange(count).split(512)
    centre = torch.stack([decode(rows).double().sum(dim=0) for rows in chunks]).sum(dim=0) / count
    # Products of all pairs of rows that occur would need every shape at once; a chunk of pairs needs two chunks.
    parts = []
    for first, second in zip(pairs.first.split(512), pairs.second.split(512), strict=True):
        a, b = (decode(rows).double().sub(centre).flatten(1) for rows in (first, second))
        parts.append(torch.cosine_similarity(a, b, dim=1))
    return torch.cat(parts)


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
