"""Influence of each person on a metric: what its intervals are computed from.

The influence of person p is P times the derivative of the metric in the weight of p, where all P people weigh one. To
first order, a bootstrap draw with multiplicities w gives f(w) = f(1) + 1/P sum_p (w_p - 1) influence_p. Multiplicities
add up to P, so that influences may be taken to add up to zero.

Source: the infinitesimal jackknife, Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans".
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

POPULATIONS = ("test", "control_shape", "control_albedo", "photos")
"""Sets of photos whose people are drawn together; influences are stored for each."""


def measure(
    metrics: Callable[[Tensor], Mapping[str, Tensor]], people: int
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Compute metrics, and the influence of each person on those that weights of people determine.

    Args:
        metrics: From weights (P,) to metrics by key, each a number; those that take no weights stay constant.
        people: P.

    Returns:
        Value by key, and influence (P,) float64 by key, in the unit of the metric. A metric that is not finite, or that
        takes no weights, has no influence.
    """
    weights = torch.ones(people, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        values = metrics(weights)
    influences = {}
    for name, value in values.items():
        if value.requires_grad and torch.isfinite(value):
            (slope,) = torch.autograd.grad(value, weights, retain_graph=True)
            if torch.isfinite(slope).all():
                influences[name] = people * (slope - slope.mean())
    return {name: float(value.detach()) for name, value in values.items()}, influences


def influence_arrays(population: str, people: np.ndarray, influences: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Influences, "block/metric" to (P,), on M metrics in the form of predictions.npz; {} where M is 0.

    Args:
        population: One of `POPULATIONS`.
        people: (P,) identities, ascending.
        influences: To be kept.

    Returns:
        `influence_<population>` (M, P) float32, `..._metrics` (M,) names, `..._people` (P,) int64.
    """
    if not influences:
        return {}
    name = f"influence_{population}"
    return {
        name: torch.stack(list(influences.values())).float().numpy(),
        f"{name}_metrics": np.array(list(influences)),
        f"{name}_people": np.asarray(people, np.int64),
    }


def kept_influences(arrays: Mapping[str, np.ndarray], keeps: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Arrays of predictions.npz with no other influences than those on each "block/metric" that `keeps` is true of."""
    result = {name: array for name, array in arrays.items() if not name.startswith("influence_")}
    for population in POPULATIONS:
        name = f"influence_{population}"
        chosen = np.array([keeps(str(metric)) for metric in arrays.get(f"{name}_metrics", ())], bool)
        if chosen.any():
            result |= {name: arrays[name][chosen], f"{name}_metrics": arrays[f"{name}_metrics"][chosen]}
            result[f"{name}_people"] = arrays[f"{name}_people"]
    return result
