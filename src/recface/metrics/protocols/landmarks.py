"""Landmark error on AFLW2000-3D."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.verification import tensor

LANDMARK_COLUMNS = tuple(f"{axis}{number}" for number in range(1, 69) for axis in "xy")
NME_VALUES = {
    "nme_balanced": "mean of the three bins",
    "nme_0_30": "mean over samples of |yaw| in [0, 30] degrees",
    "nme_30_60": "(30, 60]",
    "nme_60_90": "(60, 90]",
    "nme": "mean over all samples",
    "beyond_90": "samples beyond 90 degrees: in no bin, but in the mean over all",
}


class LandmarkError(BenchmarkProtocol):
    """Base of the two protocols; they differ in the landmarks that count as true."""

    unit = "%"
    direction = "lower"
    needs = ("landmarks",)
    columns = ("yaw", "landmark_version", *LANDMARK_COLUMNS)
    numbers = ("yaw", *LANDMARK_COLUMNS)
    values = NME_VALUES
    version: ClassVar[str]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        import torch

        from recface.metrics.functional import landmark_nme, nme_by_yaw

        versions = truth.table["landmark_version"].astype(str).to_numpy()
        if (other := np.flatnonzero(versions != self.version)).size:
            raise RecfaceError(
                f"{truth.where}: {truth.table['id'].iloc[other[0]]} has landmark_version {versions[other[0]]!r}; "
                f"{self.id} takes {self.version!r} alone"
            )
        true = truth.table[list(LANDMARK_COLUMNS)].to_numpy(np.float64).reshape(-1, 68, 2)
        nme = landmark_nme(tensor(predictions.landmarks).double(), torch.from_numpy(true))
        degrees = truth.table["yaw"].to_numpy(np.float64)
        bins = nme_by_yaw(nme, torch.from_numpy(np.radians(degrees)))
        beyond = int((np.abs(degrees) > 90).sum())
        return {"nme_balanced": bins.pop("nme_balanced"), **bins, "nme": float(nme.mean()), "beyond_90": beyond}


@register
class AFLW2000Original(LandmarkError):
    """Normalised mean error of 68 projected points on AFLW2000-3D, by the landmarks it was published with.

    Source: Zhu et al. 2016, 3DDFA, section 5 (methods.md, "Evaluation protocols" [C], field): mean distance over
    sqrt(w h) of the true landmarks' bounding box, as a percentage; bins of absolute yaw [0,30], (30,60], (60,90] and
    the mean of the bins. Landmarks: `pt3d_68` of the published .mat files; landmark_version "original".
    Alignment: none. Crop: none; pixels of the original photo. Similarity: none. Unit: %.
    """

    id = "aflw2000-nme/v1"
    source = "Zhu et al. 2016, 3DDFA; landmarks as published (pt3d_68)"
    version = "original"


@register
class AFLW2000Reannotated(LandmarkError):
    """Normalised mean error of 68 projected points on AFLW2000-3D, by the corrected landmarks.

    Source: as aflw2000-nme, with the landmarks of Bulat and Tzimiropoulos 2017 ("How far are we", LS3D-W);
    landmark_version "reannotated". Numbers of the two versions do not compare.
    Alignment: none. Crop: none; pixels of the original photo. Similarity: none. Unit: %.
    """

    id = "aflw2000-nme-reannotated/v1"
    source = "as aflw2000-nme; landmarks of Bulat and Tzimiropoulos 2017"
    version = "reannotated"
