"""Torchmetrics class of any protocol of the field."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, tensor

from recface.errors import RecfaceError
from recface.metrics.base import SampleMetric
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

PER_SAMPLE = ("parameters", "vertices", "points", "landmarks")


class ProtocolMetric(SampleMetric):
    """A `BenchmarkProtocol` while a network predicts, over any number of processes.

    Source: ours; the numbers are the protocol's.

    Example:
        >>> import pandas as pd
        >>> from recface.metrics.protocols import Truth
        >>> truth = Truth(pd.DataFrame({"id": list("abcd"), "identity": list("ppqq")}))
        >>> metric = ProtocolMetric("clustering-parameters/v1", truth)
        >>> metric.update(torch.arange(4), parameters=torch.tensor([[0.0], [2.0], [10.0], [12.0]]))
        >>> metric.compute()["nmcd"]
        tensor(0.0100, dtype=torch.float64)
    """

    def __init__(self, protocol: str, truth: Truth, shared: dict[str, np.ndarray] | None = None, **kwargs: Any) -> None:
        """Takes the protocol's id, its truth, and what predictions share (weights, triangles, basis, mean, region)."""
        if protocol not in BENCHMARKS:
            raise RecfaceError(f"no protocol {protocol}; src/evaluate.py --list names them")
        self.protocol, self.truth, self.shared = BENCHMARKS[protocol], truth, shared or {}
        known = set(PER_SAMPLE) & set(self.protocol.needs)
        if "basis" in self.shared:  # shapes come as parameters
            known = (known - {"vertices"}) | {"parameters"}
        self.fields = tuple(sorted(known))
        super().__init__(**kwargs)

    def update(self, index: Tensor, **values: Tensor) -> None:
        """Adds the samples' rows (B,) in the truth's table, and what the protocol needs of them, (B, ...) each."""
        self.append(index, **{name: values[name] for name in self.fields})

    def compute(self) -> dict[str, Tensor]:
        """The protocol's numbers, as float64.

        Raises:
            RecfaceError: A row of the truth has no prediction, or as the protocol.
        """
        samples = self.samples()
        if len(samples[self.fields[0]]) != len(self.truth):
            raise RecfaceError(
                f"{len(samples[self.fields[0]])} samples predicted, {self.truth.where} has {len(self.truth)}"
            )
        arrays = {name: values.cpu().numpy() for name, values in samples.items()}
        predictions = Predictions(tuple(self.truth.table["id"]), **arrays, **self.shared)
        numbers = self.protocol.evaluate(predictions, self.truth)
        return {name: tensor(value, dtype=torch.float64) for name, value in numbers.items()}
