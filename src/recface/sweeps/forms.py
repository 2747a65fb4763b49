"""What a parameter of a sweep file may be: W&B's forms, each checked by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# Distribution to the keys that it needs, after https://docs.wandb.ai/models/sweeps/sweep-config-keys
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform_values": ("min", "max"),
    "normal": (),
    "q_normal": (),
    "log_normal": (),
}
UNSUPPORTED = ("beta", "q_beta", "inv_log_uniform", "inv_log_uniform_values", "q_log_uniform", "q_log_normal")
OPTIONAL = {"q_uniform": ("q",), "q_log_uniform_values": ("q",), "q_normal": ("q", "mu", "sigma")}
OPTIONAL |= {"categorical": ("probabilities",), "normal": ("mu", "sigma"), "log_normal": ("mu", "sigma")}
LISTED = ("constant", "categorical", "int_uniform")
"""Distributions that have a finite list of values, as a grid needs."""
PARAMETER_KEYS = ("value", "values", "distribution", "min", "max", "q", "mu", "sigma", "probabilities", "parameters")
_EXPONENT = re.compile(r"([+-]?\d+)(\.\d*)?[eE]([+-]?\d+)")

Found = tuple[tuple[Any, ...], str]
"""Where a mistake is, inside of the parameter, and what it is."""


def distribution_of(form: Mapping[str, Any]) -> str:
    """The distribution of a parameter: as it says, or as W&B takes it from the other keys."""
    if "distribution" in form:
        return str(form["distribution"])
    if "value" in form:
        return "constant"
    if "values" in form:
        return "categorical_w_probabilities" if "probabilities" in form else "categorical"
    return "int_uniform" if all(is_whole(form.get(key)) for key in ("min", "max")) else "uniform"


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def exponent_advice(value: Any) -> str | None:
    """What to write in place of a number that YAML takes for text, such as 1e-5; None for anything else."""
    found = _EXPONENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(value) == 0:
        return None
    sign = "" if found[3][0] in "+-" else "+"
    fraction = found[2] if found[2] and len(found[2]) > 1 else ".0"
    return f"{value} is text in YAML: write {found[1]}{fraction}e{sign}{found[3]}"


def form_mistakes(form: Any) -> list[Found]:
    """Everything wrong with one parameter by itself.

    Args:
        form: What stands under its name.

    Returns:
        Places inside of it, and words that follow "parameter NAME".
    """
    if not isinstance(form, dict):
        return [((), f"is {form!r}; write value: or values: under it")]
    found: list[Found] = [
        ((key,), f"has unknown key {key}; known are {', '.join(PARAMETER_KEYS)}")
        for key in form
        if key not in PARAMETER_KEYS
    ]
    if "parameters" in form:
        found.append((("parameters",), "is nested, which Hydra cannot take: write its keys with dots, as a.b"))
    if "values" in form and (not isinstance(form["values"], list) or not form["values"]):
        found.append((("values",), f"has values {form['values']!r}, not a list with anything in it"))
    found += exponent_mistakes(form)
    if found:
        return found
    if not {"value", "values", "distribution", "min", "max"} & set(form):
        return [((), "has neither value nor values")]
    return _distribution_mistakes(form)


def exponent_mistakes(form: Mapping[str, Any]) -> list[Found]:
    """Numbers that YAML takes for text; a parameter with these alone can still be checked further."""
    values = form["values"] if isinstance(form.get("values"), list) else []
    places = [(("values", index), value) for index, value in enumerate(values)]
    places += [((key,), form[key]) for key in form if key not in ("values", "distribution")]
    return [(place, f"has {advice}") for place, value in places if (advice := exponent_advice(value))]


def _distribution_mistakes(form: Mapping[str, Any]) -> list[Found]:
    name = distribution_of(form)
    if name in UNSUPPORTED:
        return [(("distribution",), f"has distribution {name}, which is not supported here; {_known()}")]
    if name not in DISTRIBUTIONS:
        return [(("distribution",), f"has unknown distribution {name}; {_known()}")]
    needed = DISTRIBUTIONS[name]
    found: list[Found] = [((), f"lacks {key}, which distribution {name} needs") for key in needed if key not in form]
    allowed = ("distribution", *needed, *OPTIONAL.get(name, ()))
    found += [((key,), f"has {key}, which distribution {name} does not take") for key in form if key not in allowed]
    numbers = [key for key in ("min", "max", "q", "mu", "sigma") if key in form]
    for key in numbers:
        if not (is_whole if name == "int_uniform" else is_number)(form[key]):
            kind = "whole number" if name == "int_uniform" else "number"
            found.append(((key,), f"has {key} {form[key]!r}, which is no {kind}"))
    return found or _range_mistakes(name, form)


def _range_mistakes(name: str, form: Mapping[str, Any]) -> list[Found]:
    found: list[Found] = []
    if "min" in form and not form["min"] < form["max"]:
        found.append((("max",), f"has max {form['max']!r}, which is not above min {form['min']!r}"))
    if name.endswith("log_uniform_values") and form["min"] <= 0:
        found.append((("min",), f"has min {form['min']!r}, but {name} needs one above 0"))
    for key in ("q", "sigma"):
        if key in form and form[key] <= 0:
            found.append(((key,), f"has {key} {form[key]!r}, which is not above 0"))
    if "probabilities" in form:
        shares = form["probabilities"]
        right = isinstance(shares, list) and all(is_number(share) and share >= 0 for share in shares)
        if not right or len(shares) != len(form["values"]) or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            place = ("probabilities",)
            found.append((place, "has probabilities that are not one share of at least 0 for each value, 1 in all"))
    return found


def _known() -> str:
    return f"supported are {', '.join(DISTRIBUTIONS)}"
