"""Verification of probe photos against a gallery: every probe with every gallery photo."""

import torch
from torch import Tensor

from recface.metrics.functional.geometry import geometry_distance_pairs
from recface.metrics.functional.sir import rank1, rms_distances
from recface.metrics.functional.verification import auc, tar_at_far


def cross_verification(
    gallery: Tensor, gallery_identity: Tensor, probes: Tensor, probe_identity: Tensor, basis: Tensor, sigma: Tensor
) -> dict[str, float]:
    """How well shapes tell whether a probe and a gallery photo show one person, such as smiling against neutral.

    Source: ours (methods.md, "Metrics": photographs). Few people are used to the full: all pairs count.

    Args:
        gallery: (G, K) whitened parameters, one photo a person.
        gallery_identity: (G,) int64.
        probes: (N, K) whitened parameters.
        probe_identity: (N,) int64.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.
        sigma: (K,) mm.

    Returns:
        param_auc and param_tar (TAR at FAR 1%) by cosine of sigma-weighted parameters; geometry_auc and geometry_tar by
        mean vertex distance; rank1 by RMS vertex distance over probes whose person is in the gallery.

    Raises:
        RecfaceError: There is no genuine or no impostor pair, or values are not finite.
    """
    first, second = torch.cartesian_prod(torch.arange(len(probes)), torch.arange(len(gallery))).T
    same = probe_identity[first] == gallery_identity[second]
    cosine = torch.cosine_similarity(probes[first] * sigma, gallery[second] * sigma, dim=1)
    nearness = -geometry_distance_pairs(torch.cat([probes, gallery]), first, second + len(probes), basis)
    metrics = {
        "param_auc": auc(cosine, same),
        "param_tar": tar_at_far(cosine, same),
        "geometry_auc": auc(nearness, same),
        "geometry_tar": tar_at_far(nearness, same),
    }
    known = torch.isin(probe_identity, gallery_identity)
    distances = rms_distances(probes[known], gallery, basis)
    return metrics | {"rank1": rank1(distances, probe_identity[known], gallery_identity)}
