"""A metric of all samples at once, over any number of processes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from recface.metrics.functional.requirements import require_same_length


class SampleMetric(Metric):
    """Collects the samples that each process sees; computes a function of all of them, in order and each once.

    Source: ours. The result depends neither on which process saw a sample nor on the samples with which a distributed
    sampler pads its shares.

    Example:
        >>> metric = SampleMetric(lambda points: points.diff(), fields=("points",))
        >>> metric.update(torch.tensor([2, 0]), points=torch.tensor([9.0, 1.0]))
        >>> metric.update(torch.tensor([1, 0]), points=torch.tensor([4.0, 1.0]))  # sample 0 pads the share
        >>> metric.compute()
        tensor([3., 5.])
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, function: Callable[..., Any], fields: tuple[str, ...], **kwargs: Any) -> None:
        """Adds a state for each of the `fields`; `function` takes them as keywords, (N, ...) of all N samples."""
        super().__init__(**kwargs)
        self.function, self.fields = function, fields
        for name in (*fields, "index"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, **values: Tensor) -> None:
        """Adds a batch: (B,) int64 numbers of the samples in the test set, and (B, ...) values of each field.

        Raises:
            RecfaceError: The numbers of rows differ.
        """
        batch = {"index": index} | {name: values[name] for name in self.fields}
        require_same_length(**batch)
        for name, value in batch.items():
            getattr(self, name).append(value.detach())

    def compute(self) -> Any:
        """The function of all samples, sorted by number and each number once."""
        columns = {name: _concatenated(getattr(self, name)) for name in (*self.fields, "index")}
        rows = np.unique(columns.pop("index").cpu(), return_index=True)[1]  # the first of each number
        return self.function(**{name: column[rows] for name, column in columns.items()})


def _concatenated(state: list[Tensor] | Tensor) -> Tensor:
    """A state as one tensor: a list of batches before synchronization, a tensor after it."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.empty(0)
