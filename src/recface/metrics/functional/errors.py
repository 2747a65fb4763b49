"""Errors of one photo: of the shape, where true correspondence is known, and of projected landmarks."""

import math

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite, require_same_length


def align(source: Tensor, target: Tensor, *, with_scale: bool = True) -> Tensor:
    """Moves `source` onto `target` by the least-squares similarity, or rigidly; never by a reflection.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns"; with the
    scale held at 1, Kabsch 1976.

    Args:
        source: (B, N, 3) points.
        target: (B, N, 3), or (N, 3) for all, in correspondence with `source`.
        with_scale: whether the size may change.

    Returns:
        (B, N, 3) aligned points in the unit of `target` and the precision of `source` (fitted in float64).

    Raises:
        RecfaceError: for mismatched shapes, or a source whose points all coincide where it is scaled.
    """
    if source.ndim != 3 or source.shape[-1] != 3 or source.shape[1:] != target.shape[-2:]:
        raise RecfaceError(
            f"cannot align points {tuple(source.shape)} to {tuple(target.shape)}: expected (B, N, 3) and (B, N, 3) or "
            "(N, 3) with the same N, in correspondence"
        )
    if target.ndim == 3 and len(target) not in (1, len(source)):
        raise RecfaceError(f"cannot align {len(source)} point sets to {len(target)}: pass one each, or one for all")
    # Covariances of nearly flat faces lose half their digits, so the fit is done in double precision.
    x, y = source.double(), target.double()
    x_mean, y_mean = x.mean(dim=-2, keepdim=True), y.mean(dim=-2, keepdim=True)
    x, y = x - x_mean, y - y_mean
    u, singular, vh = torch.linalg.svd(y.transpose(-1, -2) @ x)  # covariance times N, target by source
    # The last axis flips where the best orthogonal map would be a reflection (Umeyama, eq. 39 and 43).
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.where(torch.linalg.det(u @ vh) < 0, -1.0, 1.0)
    rotation = (u * sign.unsqueeze(-2)) @ vh
    aligned = x @ rotation.transpose(-1, -2)
    if with_scale:
        spread = x.square().sum(dim=(-1, -2))
        if (flat := (spread == 0).nonzero().flatten()).numel():
            raise RecfaceError(f"cannot scale point set {int(flat[0])}: all its points coincide")
        aligned = aligned * ((singular * sign).sum(-1) / spread)[:, None, None]
    return (aligned + y_mean).to(source.dtype)


def per_vertex_error(
    predicted: Tensor, target: Tensor, mask: Tensor | None = None, *, with_scale: bool = True
) -> Tensor:
    """Mean per-vertex distance after similarity (or rigid) alignment.

    Source: the mean per-vertex error of methods.md, "SFM", metrics [C]; taking it on the face mask only, after a
    similarity alignment of that mask, is ours. With known correspondence no ICP is needed, whose errors correlate
    weakly with the true ones.

    Args:
        predicted: (B, V, 3) mm.
        target: (B, V, 3) mm, or (V, 3) for all.
        mask: (V,) bool, the vertices that are aligned and measured; None takes all.
        with_scale: whether the alignment may change the size.

    Returns:
        (B,) mm.

    Raises:
        RecfaceError: for mismatched sizes, or values that are not finite (the row is named).
    """
    if target.ndim == 3:
        require_same_length(predicted=predicted, target=target)
    if mask is not None:
        if mask.shape != predicted.shape[1:2]:
            raise RecfaceError(f"mask has shape {tuple(mask.shape)}, expected ({predicted.shape[1]},) as the vertices")
        predicted, target = predicted[:, mask], target[..., mask, :]
    require_finite("predicted vertices", predicted)
    require_finite("target vertices", target)
    return (align(predicted, target, with_scale=with_scale) - target).norm(dim=-1).mean(dim=-1)


def landmark_nme(predicted: Tensor, target: Tensor) -> Tensor:
    """NME of each sample: mean distance of its points over sqrt(w h) of the true landmarks' bounding box, in percent.

    Source: the AFLW2000-3D protocol (methods.md, "Evaluation protocols" [C], field). The unit of the image coordinates
    cancels. Printed as the field prints it: a fraction times 100.

    Args:
        predicted: (B, L, 2 or 3) image coordinates; only x and y count.
        target: (B, L, 2 or 3) in the same coordinates; NaN = unknown.

    Returns:
        (B,) percent; NaN where any true landmark is NaN, so that `nanmean` leaves these samples out.

    Raises:
        RecfaceError: for mismatched sizes, predictions that are not finite, or a box without area.
    """
    require_same_length(predicted=predicted, target=target)
    predicted, target = predicted[..., :2], target[..., :2]
    if predicted.shape != target.shape:
        raise RecfaceError(f"landmarks have shapes {tuple(predicted.shape)} and {tuple(target.shape)}; they must agree")
    require_finite("predicted landmarks", predicted)
    area = (target.amax(dim=1) - target.amin(dim=1)).prod(dim=-1)  # amax and amin pass NaN on
    if (flat := (area == 0).nonzero().flatten()).numel():
        raise RecfaceError(f"target landmarks: row {int(flat[0])} has a bounding box without area; check this record")
    return 100 * (predicted - target).norm(dim=-1).mean(dim=-1) / area.sqrt()


TWENTY_ONE = (
    *((17,), (19,), (21,), (22,), (24,), (26,), (36,), tuple(range(36, 42)), (39,), (42,), tuple(range(42, 48)), (45,)),
    *((2,), (31,), (30,), (35,), (14,), (48,), tuple(range(60, 68)), (54,), (8,)),
)
"""Which of iBUG's 68 points, from 0, have each of AFLW's 21 as their mean (3DDFA's code for AFLW)."""


def landmark_nme_21(predicted: Tensor, target: Tensor, target68: Tensor) -> Tensor:
    """`landmark_nme` of AFLW's 21 points: mean over the visible ones, over the box of the true 68, in percent.

    Source: 3DDFA's code for AFLW.

    Args:
        predicted: (B, 68, 2) image coordinates.
        target: (B, 21, 2); NaN = invisible.
        target68: (B, 68, 2).

    Returns:
        (B,) percent; NaN where no point is visible.

    Raises:
        RecfaceError: as `landmark_nme`.
    """
    scale = landmark_nme(target68 + 1, target68) / 2**0.5  # a step of one pixel in x and y, in percent of the box
    points = torch.stack([predicted[:, list(of)].mean(dim=1) for of in TWENTY_ONE], dim=1)
    require_same_length(predicted=predicted, target=target)
    require_finite("predicted landmarks", predicted)
    return scale * (points - target).norm(dim=-1).nanmean(dim=1)


def nme_by_yaw(nme: Tensor, yaw: Tensor, *, open_end: bool = False) -> dict[str, float]:
    """NME in the three yaw bins of AFLW2000-3D and the mean of the three bins.

    Source: methods.md, "Evaluation protocols" [C], field: [0, 30], (30, 60], (60, 90] degrees.

    Args:
        nme: (B,) percent, NaN = left out.
        yaw: (B,) radians, of either sign.
        open_end: whether the last bin has no upper end, as in 3DDFA's code.

    Returns:
        Percent under `nme_0_30`, `nme_30_60`, `nme_60_90`, and `nme_balanced`; NaN for (and from) an empty bin.
    """
    require_same_length(nme=nme, yaw=yaw)
    degrees = (yaw.double().abs() * (180 / math.pi)).round(decimals=6)  # so that 30 degrees stay 30
    bins = {
        f"nme_{low}_{high}": float(
            nme[((degrees <= high) | (open_end & (high == 90))) & ((degrees > low) | (low == 0))].nanmean()
        )
        for low, high in ((0, 30), (30, 60), (60, 90))
    }
    bins["nme_balanced"] = float(torch.tensor(list(bins.values())).mean())
    return bins
