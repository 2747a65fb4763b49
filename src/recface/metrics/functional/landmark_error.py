"""Normalised mean error (NME) of projected landmarks."""

import math

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite, require_same_length

YAW_BINS = (("nme_0_30", 0, 30), ("nme_30_60", 30, 60), ("nme_60_90", 60, 90))


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


def nme_by_yaw(nme: Tensor, yaw: Tensor) -> dict[str, float]:
    """NME in the three yaw bins of AFLW2000-3D and the mean of the three bins.

    Source: methods.md, "Evaluation protocols" [C], field: [0, 30], (30, 60], (60, 90] degrees.

    Args:
        nme: (B,) percent, NaN = left out.
        yaw: (B,) radians, of either sign.

    Returns:
        Percent under `nme_0_30`, `nme_30_60`, `nme_60_90`, and `nme_balanced`; NaN for (and from) an empty bin.
    """
    require_same_length(nme=nme, yaw=yaw)
    degrees = (yaw.double().abs() * (180 / math.pi)).round(decimals=6)  # so that 30 degrees stay 30
    bins = {}
    for key, low, high in YAW_BINS:
        inside = (degrees <= high) & ((degrees > low) | (low == 0))
        bins[key] = float(nme[inside].nanmean())
    bins["nme_balanced"] = float(torch.tensor(list(bins.values())).mean())
    return bins
