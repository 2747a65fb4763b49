"""The points of a grid, in W&B's order."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from recface.errors import RecfaceError
from recface.sweeps.spec import SweepSpec


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        name: What differs between the points, fit for a file name: `experiment=sir,seed=0`.
        parameters: Every parameter with its value, in W&B's order.
    """

    name: str
    parameters: dict[str, Any]


def grid_points(spec: SweepSpec) -> list[Point]:
    """Enumerate a grid as W&B does: names sorted, the last one changing fastest, equal values once.

    W&B sorts parameter names whatever their order in the file (package `sweeps`, `HyperParameterSet.from_config`), and
    compares values by their YAML with whole floats as integers. So neighbours in an ablation differ by seed, and two
    workers seldom wait for the same shared first stage.

    Args:
        spec: A sweep of method grid.

    Returns:
        The points, at most `run_cap`.

    Raises:
        RecfaceError: Another method, or a parameter that has no finite list of values.
    """
    if spec.method != "grid":
        raise RecfaceError(f"sweep {spec.name}: method {spec.method} has no list of points; see recface.sweeps.search")
    names = sorted(spec.parameters)
    choices = [values_of(spec, name) for name in names]
    varied = [name for name, values in zip(names, choices, strict=True) if len(values) > 1]
    points = []
    for combination in itertools.product(*choices):
        parameters = dict(zip(names, combination, strict=True))
        points.append(Point(point_name(parameters, varied or names), parameters))
    return points[: spec.run_cap]


def values_of(spec: SweepSpec, name: str) -> list[Any]:
    """The distinct values of a parameter, in the file's order; a `RecfaceError` where they cannot be listed."""
    form = spec.parameters[name]
    if "value" in form:
        return [form["value"]]
    if "values" in form and "probabilities" not in form:
        values = form["values"]
    elif isinstance(form.get("min"), int) and isinstance(form.get("max"), int) and "q" not in form:
        values = list(range(form["min"], form["max"] + 1))
    else:
        raise RecfaceError(f"sweep {spec.name}: parameter {name} has no list of values, which method grid needs")
    distinct: dict[str, Any] = {}
    for value in values:
        distinct.setdefault(_identity(value), value)
    return list(distinct.values())


def _identity(value: Any) -> str:
    """Equal for values that W&B takes as one: 3.0 and 3, but not 1 and true."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, sort_keys=True, default=str)


def point_name(parameters: dict[str, Any], names: list[str]) -> str:
    """Name of a point by some of its parameters, with only such characters as a file name bears."""
    text = ",".join(f"{name.lstrip('+')}={parameters[name]}" for name in names)
    return "".join(c if c.isalnum() or c in "=,._-" else "_" for c in text)[:150]
