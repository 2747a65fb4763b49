"""W&B's distributions on Optuna's: what a sampler draws, and the parameter's value that it stands for."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from recface.sweeps.forms import distribution_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Draw:
    """One parameter that a sampler chooses.

    Attributes:
        distribution: Optuna's, of what is drawn and stored in the study.
        value: From what was drawn to the parameter's value.
    """

    distribution: BaseDistribution
    value: Callable[[Any], Any]


def draws(parameters: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Draw]]:
    """Sort parameters into fixed ones and those to be drawn.

    Args:
        parameters: Name to its W&B form, right by `forms.form_mistakes`.

    Returns:
        Values of the fixed ones; how to draw the others.
    """
    fixed: dict[str, Any] = {}
    drawn: dict[str, Draw] = {}
    for name, form in parameters.items():
        if distribution_of(form) == "constant":
            fixed[name] = form["value"]
        elif "values" in form and len(form["values"]) == 1:
            fixed[name] = form["values"][0]
        else:
            drawn[name] = _draw(distribution_of(form), form)
    return fixed, drawn


def _draw(name: str, form: Mapping[str, Any]) -> Draw:
    from optuna.distributions import FloatDistribution, IntDistribution

    if name.startswith("categorical"):
        return _weighted(form) if "probabilities" in form else categorical(form["values"])
    if name == "int_uniform":
        return Draw(IntDistribution(form["min"], form["max"]), int)
    if name in ("normal", "q_normal", "log_normal"):
        # Optuna has no normal distribution: an even share is drawn, and its quantile taken.
        normal = NormalDist(form.get("mu", 0.0), form.get("sigma", 1.0))
        after = _quantised(form.get("q", 1.0)) if name == "q_normal" else math.exp if name == "log_normal" else float
        return Draw(FloatDistribution(1e-6, 1 - 1e-6), lambda share: rounded(after(normal.inv_cdf(share))))
    low, high = float(form["min"]), float(form["max"])
    if name == "log_uniform":
        low, high = math.exp(low), math.exp(high)
    after = _quantised(form.get("q", 1.0)) if name.startswith("q_") else float
    return Draw(FloatDistribution(low, high, log="log" in name), lambda drawn: rounded(after(drawn)))


def categorical(values: list[Any]) -> Draw:
    """One of several values, all alike; Optuna stores lists and mappings as JSON."""
    from optuna.distributions import CategoricalDistribution

    simple = all(value is None or isinstance(value, (bool, int, float, str)) for value in values)
    if simple and len(set(values)) == len(values):
        return Draw(CategoricalDistribution(values), lambda value: value)
    by_text = {json.dumps(value, default=str): value for value in values}
    return Draw(CategoricalDistribution(list(by_text)), by_text.__getitem__)


def _weighted(form: Mapping[str, Any]) -> Draw:
    """One of several values with given probabilities: an even share is drawn and looked up in their sums."""
    from optuna.distributions import FloatDistribution

    sums, values = list(itertools.accumulate(form["probabilities"])), form["values"]
    possible = max(index for index, share in enumerate(form["probabilities"]) if share > 0)
    return Draw(
        FloatDistribution(0.0, 1.0),
        lambda share: values[min(bisect.bisect_right(sums, share), possible)],
    )


def _quantised(step: float) -> Callable[[float], float]:
    return lambda value: round(value / step) * step


def rounded(value: float) -> float:
    """A value at six significant digits, so that a command line can be read and typed again."""
    return float(f"{value:.6g}")
