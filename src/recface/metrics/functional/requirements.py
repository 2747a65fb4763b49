"""Checks shared by the metrics: each failure is one line that names the row."""

import torch
from torch import Tensor

from recface.errors import RecfaceError


def require_finite(name: str, values: Tensor) -> None:
    """Raises RecfaceError naming the first row of `values` (N, ...) that holds NaN or infinity."""
    rows = (~torch.isfinite(values)).reshape(len(values), -1).any(dim=1).nonzero().flatten()
    if len(rows):
        raise RecfaceError(
            f"{name}: row {int(rows[0])} of {len(values)} is not finite ({len(rows)} such rows); "
            "did training diverge? Leave these samples out or predict them again"
        )


def require_same_length(**named: Tensor) -> int:
    """Returns the common number of rows of the named tensors; raises RecfaceError where they differ or are empty."""
    sizes = {name: len(values) for name, values in named.items()}
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise RecfaceError(f"the numbers of rows differ ({listed}); pass one row per sample in each")
    if (size := next(iter(sizes.values()))) == 0:
        raise RecfaceError(f"no samples in {' and '.join(sizes)}; pass at least one row")
    return size


def require_identities(identities: Tensor) -> None:
    """Raises RecfaceError where an identity is unknown (negative)."""
    rows = (identities < 0).nonzero().flatten()
    if len(rows):
        raise RecfaceError(f"identities: row {int(rows[0])} is unknown (-1); leave samples without identity out")


def require_modes(name: str, parameters: Tensor, modes: int) -> None:
    """Raises RecfaceError unless `parameters` is (N, modes)."""
    if parameters.ndim != 2 or parameters.shape[1] != modes:
        raise RecfaceError(f"{name} has shape {tuple(parameters.shape)}, expected (N, {modes}): one column per mode")
