"""Torchmetrics class of the landmark error."""

from torch import Tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.landmark_error import landmark_nme


class LandmarkNME(SampleMetric):
    """`nme`: mean of `functional.landmark_nme` in percent over the samples that have landmarks.

    Source: the AFLW2000-3D protocol (methods.md, "Evaluation protocols" [C], field).

    Example:
        >>> import torch
        >>> target = torch.tensor([[[0.0, 0.0], [2.0, 8.0]]])  # the box is 2 by 8, its normaliser 4
        >>> metric = LandmarkNME()
        >>> metric.update(target + torch.tensor([0.0, 1.0]), target)
        >>> metric.compute()
        tensor(25.)
    """

    higher_is_better = False
    fields = ("errors",)

    def update(self, predicted: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Adds points (B, 68, 2 or 3), true ones (NaN = unknown), and the samples' numbers (B,)."""
        self.append(index, errors=landmark_nme(predicted, target))

    def compute(self) -> Tensor:
        """Percent; NaN where no sample has landmarks."""
        return self.values.nanmean()

    @property
    def values(self) -> Tensor:
        """(N,) percent, NaN without landmarks, in the order of the samples' numbers (those of this process alone)."""
        return self.samples()["errors"]
