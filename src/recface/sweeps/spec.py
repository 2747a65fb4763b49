"""A W&B sweep file, read and checked before the first point starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.sweeps.forms import LISTED, distribution_of, form_mistakes, is_whole
from recface.sweeps.yaml_lines import Lines, Mistake, read_lines

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
METRIC = ("name", "goal")
STOP = ("type", "min_iter", "max_iter", "s", "eta", "strict")
METHODS = ("grid", "random", "bayes")
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
        early_terminate: {"type": "hyperband", ...}, None to run every point to its end.
        lines: Where everything is in the file.
        overridden: Names of the parameters that the command line set.
    """

    name: str
    program: str
    method: str
    parameters: dict[str, dict[str, Any]]
    command: tuple[str, ...] = DEFAULT_COMMAND
    run_cap: int | None = None
    metric: dict[str, Any] | None = None
    early_terminate: dict[str, Any] | None = None
    lines: Lines = field(default_factory=Lines)
    overridden: frozenset[str] = frozenset()

    def mistake(self, text: str, *path: Any) -> Mistake:
        """A mistake at a path of keys in the file; one in an overridden parameter has no line."""
        outside = path[:1] == ("parameters",) and path[1:2] and path[1] in self.overridden
        return Mistake(None if outside else self.lines.of(*path), text)


def read_sweep(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> SweepSpec:
    """Read a sweep file.

    Args:
        path: YAML.
        overrides: `key=value`, each in place of the parameter of that name (a leading `+` does not matter), or beside
            the others; `key=a,b` gives it several values.
        run_cap: In place of the file's.

    Returns:
        The sweep, right in form; whether its parameters are any of the program's is `project.check`'s to say.

    Raises:
        RecfaceError: All mistakes of the file, in one line, each with its line in the file.
    """
    spec, mistakes = load_sweep(path, overrides, run_cap)
    refuse(path, mistakes)
    return spec


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None
) -> tuple[SweepSpec, list[Mistake]]:
    """Read a sweep file as far as it can be read; see `read_sweep`.

    Returns:
        The sweep with those of its parameters that are right in form, and all mistakes of form.

    Raises:
        RecfaceError: The file cannot be read at all, or an override is not of the form key=value.
    """
    path = Path(path)
    try:
        content, lines = read_lines(path.read_text())
    except FileNotFoundError:
        raise RecfaceError(f"{path}: no such sweep file; known are {', '.join(known_sweeps(path))}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RecfaceError(f"{path}: a sweep file holds keys and values, this holds {type(content).__name__}")
    right = {key: value for key, value in content.items() if _has_type(key, value)}
    parameters = {str(name): form for name, form in right.get("parameters", {}).items()}
    overridden = set()
    for override in overrides:
        key, values = _parse(override)
        name = next((name for name in parameters if name.lstrip("+") == key.lstrip("+")), key)
        parameters[name] = {"value": values[0]} if len(values) == 1 else {"values": values}
        overridden.add(name)
    spec = SweepSpec(
        name=path.stem,
        program=right.get("program", ""),
        method=right.get("method", ""),
        parameters=parameters,
        command=tuple(str(part) for part in right.get("command") or DEFAULT_COMMAND),
        run_cap=right.get("run_cap") if run_cap is None else run_cap,
        metric=right.get("metric"),
        early_terminate=right.get("early_terminate"),
        lines=lines,
        overridden=frozenset(overridden),
    )
    mistakes = _top_mistakes(content, spec) + _search_mistakes(spec)
    wrong = {}
    for name, form in parameters.items():
        if name not in overridden:
            wrong[name] = [
                spec.mistake(f"parameter {name} {text}", "parameters", name, *place)
                for place, text in form_mistakes(form)
            ]
            mistakes += wrong[name]
    usable = {name: form for name, form in parameters.items() if not wrong.get(name)}
    return replace(spec, parameters=usable), mistakes


def refuse(path: str | Path, mistakes: Sequence[Mistake]) -> None:
    """Raise all mistakes of a file in one line, in the file's order; without any, do nothing."""
    if mistakes:
        ordered = sorted(set(mistakes), key=lambda mistake: (mistake.line or 0, mistake.text))
        raise RecfaceError(f"{path}: {'; '.join(map(str, ordered))}")


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


def _has_type(key: Any, value: Any) -> bool:
    return key in TOP_KEYS and isinstance(value, TOP_KEYS[key]) and not isinstance(value, bool)


def _top_mistakes(content: dict[Any, Any], spec: SweepSpec) -> list[Mistake]:
    found = [
        spec.mistake(f"unknown key {key}; known are {', '.join(TOP_KEYS)}", key)
        for key in content
        if key not in TOP_KEYS
    ]
    found += [
        Mistake(line, f"{path[-1]} is given twice; the first of them would be lost")
        for path, line in spec.lines.doubled.items()
    ]
    found += [spec.mistake(f"lacks {key}") for key in ("program", "method", "parameters") if key not in content]
    for key, value in content.items():
        if key in TOP_KEYS and not _has_type(key, value):
            found.append(spec.mistake(f"{key} is {value!r}, not a {TOP_KEYS[key].__name__}", key))
    if spec.method and spec.method not in METHODS:
        found.append(spec.mistake(f"method {spec.method!r} is none of {', '.join(METHODS)}", "method"))
    if spec.run_cap is not None and spec.run_cap < 1:
        found.append(spec.mistake(f"run_cap is {spec.run_cap}, it must be at least 1", "run_cap"))
    if content.get("parameters") == {}:
        found.append(spec.mistake("parameters is empty", "parameters"))
    return found


def _search_mistakes(spec: SweepSpec) -> list[Mistake]:
    """What random, bayes and early_terminate need beside the parameters."""
    found, metric, stop = [], spec.metric, spec.early_terminate
    if metric is not None:
        found += [
            spec.mistake(f"metric has unknown key {key}; known are name, goal", "metric", key)
            for key in metric
            if key not in METRIC
        ]
        if not isinstance(metric.get("name"), str):
            found.append(spec.mistake("metric lacks name", "metric"))
        if metric.get("goal", "minimize") not in ("minimize", "maximize"):
            found.append(
                spec.mistake(f"metric goal {metric['goal']!r} is neither minimize nor maximize", "metric", "goal")
            )
    elif spec.method == "bayes" or stop is not None:
        what = "method bayes" if spec.method == "bayes" else "early_terminate"
        found.append(spec.mistake(f"lacks metric, which {what} needs: name and goal"))
    if spec.method in ("random", "bayes") and spec.run_cap is None:
        found.append(spec.mistake(f"method {spec.method} would never end: add run_cap, the number of points", "method"))
    if spec.method == "grid":
        for name, form in spec.parameters.items():
            kind = distribution_of(form) if isinstance(form, dict) and not form_mistakes(form) else "constant"
            if kind not in LISTED:
                text = f"parameter {name} has distribution {kind}, but method grid needs a list of values"
                found.append(spec.mistake(text, "parameters", name))
    if stop is not None:
        found += [spec.mistake(f"early_terminate {text}", "early_terminate", *at) for at, text in _stop_mistakes(stop)]
    return found


def _stop_mistakes(stop: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    found = [((key,), f"has unknown key {key}; known are {', '.join(STOP)}") for key in stop if key not in STOP]
    if stop.get("type") != "hyperband":
        found.append((("type",), f"type {stop.get('type')!r} is not hyperband, the only one there is"))
    for key, least in (("min_iter", 1), ("max_iter", 1), ("s", 1), ("eta", 2)):
        if key in stop and not (is_whole(stop[key]) and stop[key] >= least):
            found.append(((key,), f"{key} is {stop[key]!r}, no whole number of at least {least}"))
    if "min_iter" not in stop and not {"max_iter", "s"} <= set(stop):
        found.append(((), "needs min_iter, or max_iter and s"))
    if stop.get("strict", False) is not False:
        found.append((("strict",), "strict is not supported here: leave it out"))
    return found
