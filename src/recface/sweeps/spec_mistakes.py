"""What can be wrong with a sweep file beside its parameters: keys, types, and what each method needs."""

from __future__ import annotations

from typing import Any

from recface.settings.yaml_lines import Mistake
from recface.sweeps.forms import LISTED, distribution_of, form_mistakes, is_whole
from recface.sweeps.spec import SweepSpec

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


def has_type(key: Any, value: Any) -> bool:
    """Whether a top-level key is known and its value of the right type."""
    return key in TOP_KEYS and isinstance(value, TOP_KEYS[key]) and not isinstance(value, bool)


def top_mistakes(content: dict[Any, Any], spec: SweepSpec) -> list[Mistake]:
    """Keys that are unknown, missing, doubled or of the wrong type."""
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
        if key in TOP_KEYS and not has_type(key, value):
            found.append(spec.mistake(f"{key} is {value!r}, not a {TOP_KEYS[key].__name__}", key))
    if spec.method and spec.method not in METHODS:
        found.append(spec.mistake(f"method {spec.method!r} is none of {', '.join(METHODS)}", "method"))
    if spec.run_cap is not None and spec.run_cap < 1:
        found.append(spec.mistake(f"run_cap is {spec.run_cap}, it must be at least 1", "run_cap"))
    if content.get("parameters") == {}:
        found.append(spec.mistake("parameters is empty", "parameters"))
    return found


def search_mistakes(spec: SweepSpec) -> list[Mistake]:
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
