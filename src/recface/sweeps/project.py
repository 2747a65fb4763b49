"""Sweeps of this project's own src/run.py: are their parameters configuration keys, and which run is a point's?"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.experiment.command_line import (
    APPENDABLE,
    CONFIGS,
    check_config,
    compose_config,
    known_experiments,
    message,
)
from recface.sweeps.forms import LISTED, distribution_of, exponent_advice, is_number, is_whole
from recface.sweeps.spec import SweepSpec, load_sweep, refuse
from recface.sweeps.yaml_lines import Mistake

Config = dict[str, Any]
SEE = "see configs/ or `python src/run.py --cfg job`"
MISSING = "???"


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
        key = name.lstrip("+")
        known = options_of(key)
        if known is None:
            if not key.startswith("hydra."):
                keys.append(name)
            continue
        if key == "experiment" and name != "+experiment":
            text = "parameter experiment: write +experiment, with a plus sign: experiments add to the configuration"
            mistakes.append(spec.mistake(text, "parameters", name))
        chosen[f"+{key}" if key == "experiment" else key] = [
            value for value, _ in values_with_paths(spec, name) if value in known
        ]
        kind = "experiment" if key == "experiment" else f"{key} configuration"
        mistakes += [
            spec.mistake(f"parameter {name}: no {kind} '{value}'; known are {', '.join(known)}", *path)
            for value, path in values_with_paths(spec, name)
            if value not in known
        ]
    chosen = {name: values for name, values in chosen.items() if values}
    choices = [dict(zip(chosen, values, strict=True)) for values in itertools.product(*chosen.values())]
    bases: list[tuple[str, Config]] = []
    for choice in choices:
        arguments = [f"{name}={value}" for name, value in choice.items()]
        try:
            bases.append((" ".join(arguments), compose(arguments, missing=True)))
        except RecfaceError as error:
            mistakes.append(spec.mistake(f"{' '.join(arguments)}: {error}", "parameters"))
    for name in keys:
        mistakes += _key_mistakes(spec, name, bases)
    mistakes += _missing(spec, keys, bases)
    return mistakes


def compose(arguments: Sequence[str], missing: bool = False) -> Config:
    """A run's configuration from its command line; a `RecfaceError` where Hydra refuses it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return compose_config(*arguments, missing=missing)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecfaceError(message(error)) from None


def options_of(group: str) -> list[str] | None:
    """Configurations of a group; None for what is no group."""
    if group == "experiment":
        return known_experiments()
    if not group or group == "table" or not (CONFIGS / group).is_dir():
        return None
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def point_config(parameters: Mapping[str, Any]) -> Config:
    """The configuration of a point, as its command line gives it."""
    return compose([f"{name}={'null' if value is None else value}" for name, value in parameters.items()])


def values_with_paths(spec: SweepSpec, name: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every value that a parameter names, its bounds included, and where it is in the file."""
    form, place = spec.parameters[name], ("parameters", name)
    # What comes from the command line is text; Hydra reads it as YAML does, and 1e-5 as a number.
    read = as_hydra if name in spec.overridden else lambda value: value
    for key in ("value", "min", "max"):
        if key in form and not (key != "value" and form.get("distribution") == "log_uniform"):
            yield read(form[key]), (*place, key)
    for index, value in enumerate(form.get("values", ())):
        yield read(value), (*place, "values", index)


def draws_fractions(form: Mapping[str, Any]) -> bool:
    """Whether a parameter's values may have fractions whatever its bounds."""
    return not distribution_of(form).startswith("categorical") and distribution_of(form) not in LISTED


def as_hydra(text: str) -> Any:
    """A value from the command line as Hydra reads it."""
    if exponent_advice(text):
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _key_mistakes(spec: SweepSpec, name: str, bases: Sequence[tuple[str, Config]]) -> list[Mistake]:
    key = name.lstrip("+")
    if name.startswith("+") and key.startswith(APPENDABLE):
        return []
    without = [arguments for arguments, config in bases if key not in keys_of(config)]
    if without:
        known = sorted({known for _, config in bases for known in keys_of(config)})
        near = difflib.get_close_matches(key, known, 1)
        advice = f"; did you mean {near[0]}?" if near and near[0] != key else f": {SEE}"
        some = len(without) < len(bases)
        text = f"is no key with {', '.join(without)}" if some else f"is no configuration key{advice}"
        return [spec.mistake(f"parameter {name} {text}", "parameters", name)]
    if name.startswith("+") and not name.startswith("++"):
        return [spec.mistake(f"parameter {name}: write {key}, without a plus sign", "parameters", name)]
    mistakes = []
    if any(is_whole(keys_of(config)[key]) for _, config in bases) and draws_fractions(spec.parameters[name]):
        text = f"parameter {name} is drawn with fractions, but {key} is a whole number: use int_uniform or values"
        mistakes.append(spec.mistake(text, "parameters", name))
    for _, config in bases:
        for value, path in values_with_paths(spec, name):
            text = value_mistake(config, key, value)
            if text:
                mistakes.append(spec.mistake(f"parameter {text}", *path))
    return list(dict.fromkeys(mistakes))


def value_mistake(config: Config, key: str, value: Any) -> str | None:
    """What is wrong with a value of a key, given the key's own value in a configuration; None if nothing is."""
    default = keys_of(config)[key]
    if isinstance(default, bool):
        wrong = None if isinstance(value, bool) else "neither true nor false"
    elif is_whole(default) and isinstance(value, float) and not value.is_integer():
        wrong = "no whole number"
    elif is_number(default):
        wrong = None if is_number(value) else "no number"
    elif isinstance(default, str) and default != MISSING:
        wrong = None if value is None or isinstance(value, str) else "no text"
    else:
        wrong = None
    if wrong:
        return f"{key}: {value!r} is {wrong} (it is {default!r} in configs/)"
    try:
        check_config(_with(config, key.split("."), value), known_variants())
    except RecfaceError as error:
        return str(error)
    return None


def _missing(spec: SweepSpec, keys: Sequence[str], bases: Sequence[tuple[str, Config]]) -> list[Mistake]:
    """Keys that need a value (`???`) and get none."""
    given = {name.lstrip("+") for name in keys}
    left = {
        key for _, config in bases for key, value in keys_of(config).items() if value == MISSING and key not in given
    }
    return [spec.mistake(f"lacks parameter {key}, which has no value of its own", "parameters") for key in sorted(left)]


def keys_of(config: Config) -> dict[str, Any]:
    """All dotted keys of a configuration, those of its sections too, with their values."""
    found: dict[str, Any] = {}

    def walk(part: Mapping[str, Any], prefix: str) -> None:
        for key, value in part.items():
            found[prefix + key] = value
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")

    walk(config, "")
    return found


def known_variants() -> list[str]:
    """Variants that the experiments name; the modules themselves would import torch."""
    contents = [yaml.safe_load(path.read_text()) for path in (CONFIGS / "experiment").glob("*.yaml")]
    return sorted({content["variant"] for content in contents if "variant" in content})


def _with(config: Mapping[str, Any], parts: Sequence[str], value: Any) -> Config:
    """A copy with one value replaced."""
    inner = value if len(parts) == 1 else _with(config[parts[0]], parts[1:], value)
    return {**config, parts[0]: inner}
