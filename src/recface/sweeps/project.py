"""Sweeps of this project's own src/run.py: are their parameters configuration keys, and which run is a point's?"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.settings.compose import APPENDABLE, CONFIGS, Config, compose, known_experiments, quick_config
from recface.settings.overrides import normalise_arguments
from recface.settings.yaml_lines import Mistake
from recface.sweeps.forms import is_whole
from recface.sweeps.read import load_sweep, refuse
from recface.sweeps.spec import SweepSpec
from recface.sweeps.values import MISSING, draws_fractions, keys_of, value_mistake, values_with_paths

SEE = "see configs/ or `python src/run.py --cfg job`"


def is_own(program: str) -> bool:
    """Whether a sweep's program is this project's src/run.py, so that its parameters can be checked."""
    return Path(program).resolve() == CONFIGS.parent / "src" / "run.py"


def checked_sweep(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> SweepSpec:
    """Read a sweep file and check all of it; see `spec.read_sweep`.

    Raises:
        RecfaceError: All mistakes of form and, for src/run.py, of keys and values, in one line with their lines.
    """
    spec, mistakes = load_sweep(path, overrides, run_cap)
    if is_own(spec.program):
        mistakes = mistakes + check(spec)
    refuse(path, mistakes)
    return spec


def check(spec: SweepSpec) -> list[Mistake]:
    """Find parameters that are no configuration keys, and values that the configuration cannot take.

    Every value is tried by itself, with each experiment and each choice of groups; the points themselves, which may be
    thousands, are not composed.

    Args:
        spec: A sweep of src/run.py, right in form.

    Returns:
        The mistakes.
    """
    mistakes: list[Mistake] = []
    if spec.metric and isinstance(spec.metric.get("name"), str) and "/" not in spec.metric["name"]:
        text = f"metric name {spec.metric['name']} is not block/metric, such as validation/geometry_auc"
        mistakes.append(spec.mistake(text, "metric", "name"))
    chosen: dict[str, list[Any]] = {}
    keys = []
    for name in spec.parameters:
        known = options_of(name.lstrip("+"))
        if known is not None:
            mistakes += _group_mistakes(spec, name, known)
            chosen[name.lstrip("+")] = [value for value, _ in values_with_paths(spec, name) if value in known]
        elif not name.lstrip("+").startswith("hydra."):
            keys.append(name)
    # Of an experiment that there is not, keys cannot be known: what any experiment has is let through.
    told = "experiment" not in chosen or bool(chosen["experiment"])
    if not told:
        chosen["experiment"] = known_experiments()
    chosen = {group: values for group, values in chosen.items() if values}
    bases: list[tuple[str, Config]] = []
    for choice in itertools.product(*chosen.values()):
        arguments = [
            f"{'+' * (group == 'experiment')}{group}={value}" for group, value in zip(chosen, choice, strict=True)
        ]
        try:
            bases.append((" ".join(arguments), quick_config(arguments)))
        except RecfaceError as error:
            mistakes.append(spec.mistake(f"{' '.join(arguments)}: {error}", "parameters"))
    for name in keys:
        mistakes += _key_mistakes(spec, name, bases, told)
    mistakes += _missing(spec, keys, bases)
    return mistakes


def options_of(group: str) -> list[str] | None:
    """Configurations of a group; None for what is no group."""
    if group == "experiment":
        return known_experiments()
    if not group or group == "table" or not (CONFIGS / group).is_dir():
        return None
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def point_config(parameters: Mapping[str, Any]) -> Config:
    """The configuration of a point, as its command line gives it."""
    return compose(normalise_arguments([f"{name}={value}" for name, value in parameters.items()], {}))


def _group_mistakes(spec: SweepSpec, name: str, known: Sequence[str]) -> list[Mistake]:
    mistakes, group = [], name.lstrip("+")
    if group == "experiment" and name != "+experiment":
        text = "parameter experiment: write +experiment, with a plus sign: experiments add to the configuration"
        mistakes.append(spec.mistake(text, "parameters", name))
    kind = "experiment" if group == "experiment" else f"{group} configuration"
    return mistakes + [
        spec.mistake(f"parameter {name}: no {kind} '{value}'; known are {', '.join(known)}", *path)
        for value, path in values_with_paths(spec, name)
        if value not in known
    ]


def _key_mistakes(spec: SweepSpec, name: str, bases: Sequence[tuple[str, Config]], told: bool) -> list[Mistake]:
    key = name.lstrip("+")
    if name.startswith("+") and key.startswith(APPENDABLE):
        return []
    without = [arguments for arguments, config in bases if key not in keys_of(config)]
    if len(without) == len(bases) or (without and told):
        known = sorted({known for _, config in bases for known in keys_of(config)})
        near = difflib.get_close_matches(key, known, 1)
        advice = f"; did you mean {near[0]}?" if near and near[0] != key else f": {SEE}"
        some = len(without) < len(bases)
        text = f"is no key with {', '.join(without)}" if some else f"is no configuration key{advice}"
        return [spec.mistake(f"parameter {name} {text}", "parameters", name)]
    if name.startswith("+") and not name.startswith("++"):
        return [spec.mistake(f"parameter {name}: write {key}, without a plus sign", "parameters", name)]
    mistakes = []
    if any(is_whole(keys_of(config).get(key)) for _, config in bases) and draws_fractions(spec.parameters[name]):
        text = f"parameter {name} is drawn with fractions, but {key} is a whole number: use int_uniform or values"
        mistakes.append(spec.mistake(text, "parameters", name))
    for _, config in bases:
        if key not in keys_of(config):
            continue
        for value, path in values_with_paths(spec, name):
            text = value_mistake(config, key, value)
            if text:
                mistakes.append(spec.mistake(f"parameter {text}", *path))
    return list(dict.fromkeys(mistakes))


def _missing(spec: SweepSpec, keys: Sequence[str], bases: Sequence[tuple[str, Config]]) -> list[Mistake]:
    """Keys that need a value (`???`) and get none."""
    given = {name.lstrip("+") for name in keys}
    left = {
        key for _, config in bases for key, value in keys_of(config).items() if value == MISSING and key not in given
    }
    return [spec.mistake(f"lacks parameter {key}, which has no value of its own", "parameters") for key in sorted(left)]
