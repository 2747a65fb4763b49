"""Torchmetrics class of the SIR metric."""

from typing import Any, Literal

import torch
from torch import Tensor, tensor

from recface.errors import RecfaceError
from recface.metrics.base import SampleMetric
from recface.metrics.functional.recognition import decoded_recognition, recognition, true_references


class SIRMetric(SampleMetric):
    """`sir` and `rank1` against true shapes, or `sir_decoded` and `rank1_decoded` against each person's best photo.

    Source: ours [O] (methods.md, "Metrics"). Two protocols, so two pairs of keys.

    Example:
        >>> import torch
        >>> true = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> basis = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        >>> metric = SIRMetric(basis)
        >>> metric.update(true, torch.arange(3), true=true)
        >>> {key: round(float(value), 3) for key, value in metric.compute().items()}
        {'sir': 1.0, 'rank1': 1.0}
    """

    higher_is_better = True
    fields = ("parameters", "identities", "true", "yaw_abs", "expression_norm")
    basis: Tensor

    def __init__(self, basis: Tensor, reference: Literal["true", "decoded"] = "true", **kwargs: Any) -> None:
        """Takes the sigma-weighted rows of the masked vertices (V, 3, K) in mm, and what the references are."""
        super().__init__(**kwargs)
        self.register_buffer("basis", basis, persistent=False)
        self.reference = reference

    def update(
        self,
        parameters: Tensor,
        identities: Tensor,
        true: Tensor | None = None,
        yaw_abs: Tensor | None = None,
        expression_norm: Tensor | None = None,
        index: Tensor | None = None,
    ) -> None:
        """Adds whitened parameters (B, K), identities (B,) >= 0, what the references are taken from, and the numbers.

        True references need `true` (B, K) whitened; decoded ones `yaw_abs` (B,) radians and `expression_norm` (B,).
        """
        if self.reference == "true":
            if true is None:
                raise RecfaceError("SIRMetric with true references needs `true` parameters; or use reference='decoded'")
            yaw_abs = expression_norm = torch.zeros_like(parameters[:, 0])
        else:
            if yaw_abs is None or expression_norm is None:
                raise RecfaceError("SIRMetric with decoded references needs `yaw_abs` and `expression_norm`")
            true = torch.zeros_like(parameters)
        self.append(
            index,
            parameters=parameters,
            identities=identities,
            true=true,
            yaw_abs=yaw_abs,
            expression_norm=expression_norm,
        )

    def compute(self) -> dict[str, Tensor]:
        """SIR (1 is perfect, 0 is chance) and the rank-1 rate."""
        s = self.samples()
        if self.reference == "true":
            people, references = true_references(s["identities"], s["true"])
            values = recognition(s["parameters"], s["identities"], references, people, self.basis)
        else:
            values = decoded_recognition(
                s["parameters"], s["identities"], s["yaw_abs"], s["expression_norm"], self.basis
            )
        suffix = "" if self.reference == "true" else "_decoded"
        return {key + suffix: tensor(value) for key, value in values.items()}
