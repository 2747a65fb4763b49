"""What the metric classes share: per-sample states that come out the same however many processes collected them."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from recface.metrics.functional.requirements import require_same_length

UNNUMBERED = -1


class SampleMetric(Metric):
    """Keeps one row per sample in list states; `samples()` hands them out in the order of the samples' numbers.

    Ours. With an `index` per sample the result neither depends on which process saw which sample, nor counts the
    samples twice with which a distributed sampler pads its shares. Without one, rows stay in order of arrival.
    """

    is_differentiable = False
    full_state_update = False
    fields: tuple[str, ...] = ()

    def __init__(self, **kwargs: Any) -> None:
        """Adds one state per field; `kwargs` go to torchmetrics.Metric."""
        super().__init__(**kwargs)
        for name in (*self.fields, "index"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def append(self, index: Tensor | None = None, **values: Tensor) -> None:
        """Stores a batch: a (B, ...) tensor per field, and the samples' (B,) int64 numbers in the test set."""
        first = next(iter(values.values()))
        index = torch.full((len(first),), UNNUMBERED, device=first.device) if index is None else index
        require_same_length(index=index, **values)
        for name, value in (*values.items(), ("index", index)):
            getattr(self, name).append(value.detach())

    def samples(self) -> dict[str, Tensor]:
        """All rows by field, sorted by number and each number once."""
        columns = {name: _concatenated(getattr(self, name)) for name in (*self.fields, "index")}
        index = columns.pop("index")
        if len(index) == 0 or bool((index == UNNUMBERED).any()):
            return columns
        order = index.argsort(stable=True)
        ordered = index[order]
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        return {name: column[order[fresh]] for name, column in columns.items()}


def _concatenated(state: list[Tensor] | Tensor) -> Tensor:
    """A state as one tensor: a list of batches before synchronisation, a tensor after it."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.empty(0)
