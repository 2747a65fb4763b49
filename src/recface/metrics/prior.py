"""Torchmetrics class of the prior distance."""

from torch import Tensor, tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.prior import parameter_energy, prior_kl


class PriorDistance(SampleMetric):
    """`prior_kl` (0 is ideal) and `param_energy` (1 is ideal, near 0 is collapse) of a test set's whitened parameters.

    Source: ours [O] (methods.md, "Metrics"), after the prior term of SIR [A][C].

    Example:
        >>> import torch
        >>> metric = PriorDistance()
        >>> metric.update(torch.tensor([[1.0], [-1.0]]))  # mean 0, variance 1
        >>> metric.compute()
        {'prior_kl': tensor(0.), 'param_energy': tensor(1.)}
    """

    fields = ("parameters",)

    def update(self, parameters: Tensor, index: Tensor | None = None) -> None:
        """Adds whitened parameters (B, K) and the samples' numbers (B,)."""
        self.append(index, parameters=parameters)

    def compute(self) -> dict[str, Tensor]:
        """Both numbers."""
        parameters = self.samples()["parameters"]
        return {"prior_kl": tensor(prior_kl(parameters)), "param_energy": tensor(parameter_energy(parameters))}
