"""Torchmetrics class of the reconstruction error."""

from typing import Any

from torch import Tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.shape_error import per_vertex_error


class ShapeError(SampleMetric):
    """`shape_error_mm`: mean over samples of `functional.per_vertex_error`.

    Source: methods.md, "SFM", metrics [C]; alignment and mask ours [O].

    Example:
        >>> import torch
        >>> target = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
        >>> metric = ShapeError()
        >>> metric.update(2 * target + 5, target)  # a similarity transform away
        >>> bool(metric.compute() < 1e-5)
        True
    """

    higher_is_better = False
    fields = ("errors",)
    mask: Tensor | None

    def __init__(self, mask: Tensor | None = None, **kwargs: Any) -> None:
        """Takes the (V,) bool mask of the vertices that count; None counts all."""
        super().__init__(**kwargs)
        self.register_buffer("mask", mask, persistent=False)

    def update(self, predicted: Tensor, target: Tensor, index: Tensor | None = None) -> None:
        """Adds shapes (B, V, 3) mm, true ones (B, V, 3) or (V, 3), and the samples' numbers (B,)."""
        self.append(index, errors=per_vertex_error(predicted, target, self.mask))

    def compute(self) -> Tensor:
        """The mean in mm; NaN before any sample."""
        return self.values.mean()

    @property
    def values(self) -> Tensor:
        """(N,) mm, per sample in the order of their numbers (those of this process alone)."""
        return self.samples()["errors"]
