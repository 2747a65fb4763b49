"""Torchmetrics class of the clustering numbers."""

from typing import Any

from torch import Tensor, tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.clustering import clustering
from recface.metrics.functional.geometry import geometry_coordinates


class Clustering(SampleMetric):
    """Silhouette, Calinski-Harabasz, Davies-Bouldin and NMCD, on whitened parameters or, given a basis, on geometry.

    Source: methods.md, "SFM", metrics [C]; geometry space ours [O]. Keys end in `_param` or `_geometry`.

    Example:
        >>> import torch
        >>> metric = Clustering()
        >>> metric.update(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]))
        >>> metric.compute()["nmcd_param"]
        tensor(0.0100)
    """

    fields = ("parameters", "identities")
    basis: Tensor | None

    def __init__(self, basis: Tensor | None = None, **kwargs: Any) -> None:
        """Takes the sigma-weighted rows of the masked vertices (V, 3, K) in mm; None clusters whitened parameters."""
        super().__init__(**kwargs)
        self.register_buffer("basis", basis, persistent=False)

    def update(self, parameters: Tensor, identities: Tensor, index: Tensor | None = None) -> None:
        """Adds whitened parameters (B, K), identities (B,) >= 0, and the samples' numbers (B,)."""
        self.append(index, parameters=parameters, identities=identities)

    def compute(self) -> dict[str, Tensor]:
        """The four numbers."""
        samples = self.samples()
        points = samples["parameters"]
        space = "param" if self.basis is None else "geometry"
        if self.basis is not None:
            points = geometry_coordinates(points, self.basis)
        return {f"{key}_{space}": tensor(value) for key, value in clustering(points, samples["identities"]).items()}
