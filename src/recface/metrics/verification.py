"""Torchmetrics classes of verification, on parameters and on geometry."""

from typing import Any

from torch import Tensor, tensor

from recface.metrics.base import SampleMetric
from recface.metrics.functional.geometry import geometry_distance_pairs
from recface.metrics.functional.verification import Pairs, cosine_scores, verification, verification_pairs


class _Verification(SampleMetric):
    """Collects parameters and identities; draws the pairs when computed."""

    higher_is_better = True
    fields = ("parameters", "identities")
    prefix = ""

    def __init__(self, folds: int = 10, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folds, self.seed = folds, seed

    def update(self, parameters: Tensor, identities: Tensor, index: Tensor | None = None) -> None:
        """Adds whitened parameters (B, K), identities (B,) >= 0, and the samples' numbers (B,)."""
        self.append(index, parameters=parameters, identities=identities)

    def compute(self) -> dict[str, Tensor]:
        """AUC, ten-fold accuracy, and true accept rate at 1% false accepts, each in [0, 1]."""
        samples = self.samples()
        pairs = verification_pairs(samples["identities"], self.folds, self.seed)
        values = verification(self.scores(samples["parameters"], pairs), pairs.same, pairs.fold)
        keys = (f"{self.prefix}_{name}" for name in ("auc", "acc", "tar"))
        return {key: tensor(value) for key, value in zip(keys, values.values(), strict=True)}

    def scores(self, parameters: Tensor, pairs: Pairs) -> Tensor:
        """Similarities (P,) of the pairs."""
        raise NotImplementedError


class ParameterVerification(_Verification):
    """`param_auc`, `param_acc`, `param_tar`: verification by the cosine of sigma-weighted parameters.

    Source: methods.md, "Evaluation protocols" [C]; the weighting by sigma and the drawn pairs are ours [O].

    Example:
        >>> import torch
        >>> people = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> metric = ParameterVerification(sigma=torch.tensor([3.0, 2.0]), folds=2)
        >>> metric.update(people.repeat(2, 1), torch.arange(4).repeat(2))
        >>> metric.compute()["param_auc"]
        tensor(1.)
    """

    prefix = "param"
    sigma: Tensor

    def __init__(self, sigma: Tensor, folds: int = 10, seed: int = 0, **kwargs: Any) -> None:
        """Takes the face model's identity_sigma (K,) in mm, and how the pairs are drawn."""
        super().__init__(folds, seed, **kwargs)
        self.register_buffer("sigma", sigma, persistent=False)

    def scores(self, parameters: Tensor, pairs: Pairs) -> Tensor:
        """Cosine similarities (P,)."""
        return cosine_scores(parameters * self.sigma, pairs)


class GeometryVerification(_Verification):
    """`geometry_auc`, `geometry_acc`, `geometry_tar`: verification by the mean distance of two neutral shapes.

    Source: ours [O] (methods.md, "Metrics").

    Example:
        >>> import torch
        >>> people = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> basis = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        >>> metric = GeometryVerification(basis, folds=2)
        >>> metric.update(people.repeat(2, 1), torch.arange(4).repeat(2))
        >>> metric.compute()["geometry_auc"]
        tensor(1.)
    """

    prefix = "geometry"
    basis: Tensor

    def __init__(self, basis: Tensor, folds: int = 10, seed: int = 0, **kwargs: Any) -> None:
        """Takes the sigma-weighted rows of the masked vertices (V, 3, K) in mm, and how the pairs are drawn."""
        super().__init__(folds, seed, **kwargs)
        self.register_buffer("basis", basis, persistent=False)

    def scores(self, parameters: Tensor, pairs: Pairs) -> Tensor:
        """Minus the distances (P,) in mm."""
        return -geometry_distance_pairs(parameters, pairs.first, pairs.second, self.basis)
