"""A W&B sweep file, read and checked before the first point starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recface.errors import RecfaceError

# Keys of https://docs.wandb.ai/models/sweeps/sweep-config-keys
TOP_KEYS = {
    "program": str,
    "entity": str,
    "project": str,
    "description": str,
    "name": str,
    "method": str,
    "metric": dict,
    "parameters": dict,
    "early_terminate": dict,
    "command": list,
    "run_cap": int,
}
METHODS = ("grid", "random", "bayes")
PARAMETER_KEYS = ("value", "values", "distribution", "min", "max", "q", "mu", "sigma", "probabilities", "parameters")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep.

    Attributes:
        name: The file's name without its ending; logs are named after it.
        program: Script to run.
        method: "grid", "random" or "bayes".
        parameters: Name to its W&B form: {"value": ...}, {"values": [...]}, or bounds.
        command: Command template.
        run_cap: Most points, None for all.
        metric: {"name", "goal"}.
    """

    name: str
    program: str
    method: str
    parameters: dict[str, dict[str, Any]]
    command: tuple[str, ...] = DEFAULT_COMMAND
    run_cap: int | None = None
    metric: dict[str, Any] | None = None


def read_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a sweep file.

    Args:
        path: YAML.
        overrides: `key=value`, each in place of the parameter of that name (a leading `+` does not matter), or beside
            the others; `key=a,b` gives it several values.

    Returns:
        The checked sweep.

    Raises:
        RecfaceError: All mistakes of the file, in one line.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise RecfaceError(f"{path}: no such sweep file; known are {', '.join(known_sweeps(path))}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RecfaceError(f"{path}: a sweep file holds keys and values, this holds {type(content).__name__}")
    mistakes = _mistakes(content)
    if mistakes:
        raise RecfaceError(f"{path}: {'; '.join(mistakes)}")
    parameters = dict(content["parameters"])
    for override in overrides:
        key, values = _parse(override)
        name = next((name for name in parameters if name.lstrip("+") == key.lstrip("+")), key)
        parameters[name] = {"value": values[0]} if len(values) == 1 else {"values": values}
    return SweepSpec(
        name=path.stem,
        program=content["program"],
        method=content["method"],
        parameters=parameters,
        command=tuple(str(part) for part in content.get("command") or DEFAULT_COMMAND),
        run_cap=content.get("run_cap"),
        metric=content.get("metric"),
    )


def known_sweeps(path: Path) -> list[str]:
    """Sweep files in the folder of a path, for messages."""
    return sorted(str(found) for found in path.parent.glob("*.yaml")) or ["none there"]


def _parse(override: str) -> tuple[str, list[str]]:
    key, separator, value = override.partition("=")
    if not separator or not key or key.startswith("-"):
        raise RecfaceError(f"override {override!r} is not of the form key=value")
    # Hydra's own rule: commas in brackets or quotes belong to the value.
    several = "," in value and not any(character in value for character in "[]{}()'\"")
    return key, value.split(",") if several else [value]


def _mistakes(content: dict[Any, Any]) -> list[str]:
    found = [f"unknown key {key}; known are {', '.join(TOP_KEYS)}" for key in content if key not in TOP_KEYS]
    found += [f"lacks {key}" for key in ("program", "method", "parameters") if key not in content]
    for key, kind in TOP_KEYS.items():
        value = content.get(key)
        if key in content and (not isinstance(value, kind) or isinstance(value, bool)):
            found.append(f"{key} is {value!r}, not a {kind.__name__}")
    if isinstance(content.get("method"), str) and content["method"] not in METHODS:
        found.append(f"method {content['method']!r} is none of {', '.join(METHODS)}")
    metric = content.get("metric")
    if isinstance(metric, dict):
        if "name" not in metric:
            found.append("metric lacks name")
        if metric.get("goal", "minimize") not in ("minimize", "maximize"):
            found.append(f"metric goal {metric['goal']!r} is neither minimize nor maximize")
    parameters = content.get("parameters")
    if isinstance(parameters, dict):
        if not parameters:
            found.append("parameters is empty")
        for name, form in parameters.items():
            found += [f"parameter {name} {mistake}" for mistake in _parameter_mistakes(form)]
    return found


def _parameter_mistakes(form: Any) -> list[str]:
    if not isinstance(form, dict):
        return [f"is {form!r}; write value: or values: under it"]
    found = [f"has unknown key {key}" for key in form if key not in PARAMETER_KEYS]
    if "parameters" in form:
        found.append("is nested, which Hydra cannot take: write its keys with dots")
    if "values" in form and (not isinstance(form["values"], list) or not form["values"]):
        found.append(f"has values {form['values']!r}, not a list with anything in it")
    if not found and not {"value", "values", "distribution", "min", "max"} & set(form):
        found.append("has neither value nor values")
    return found
