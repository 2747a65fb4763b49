"""Torchmetrics class of faithfulness to the true shape."""

from typing import Any

from torch import Tensor, tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.faithfulness import truth_cosine, truth_rank1


class Faithfulness(SampleMetric):
    """`truth_cosine` and `truth_rank1`: are shapes recognised by what is true of them?

    Source: ours [O] (methods.md, "Metrics").

    Example:
        >>> import torch
        >>> true = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> basis = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        >>> metric = Faithfulness(basis, sigma=torch.tensor([3.0, 2.0]))
        >>> metric.update(0.9 * true, true, torch.arange(2))
        >>> metric.compute()
        {'truth_cosine': tensor(1.), 'truth_rank1': tensor(1.)}
    """

    higher_is_better = True
    fields = ("predicted", "true", "identities")
    basis: Tensor
    sigma: Tensor

    def __init__(self, basis: Tensor, sigma: Tensor, **kwargs: Any) -> None:
        """Takes the sigma-weighted rows of the masked vertices (V, 3, K) in mm, and identity_sigma (K,) in mm."""
        super().__init__(**kwargs)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("sigma", sigma, persistent=False)

    def update(self, predicted: Tensor, true: Tensor, identities: Tensor, index: Tensor | None = None) -> None:
        """Adds whitened parameters (B, K), true ones (B, K), identities (B,) >= 0, and the samples' numbers (B,)."""
        self.append(index, predicted=predicted, true=true, identities=identities)

    def compute(self) -> dict[str, Tensor]:
        """The mean cosine of sigma-weighted parameters, and the rank-1 rate among true shapes."""
        s = self.samples()
        return {
            "truth_cosine": tensor(truth_cosine(s["predicted"] * self.sigma, s["true"] * self.sigma)),
            "truth_rank1": tensor(truth_rank1(s["predicted"], s["true"], s["identities"], self.basis)),
        }
