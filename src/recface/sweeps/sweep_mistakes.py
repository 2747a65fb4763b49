"""Mistakes in sweeps of this project's src/run.py: unknown keys, experiments and groups, and values that a run refuses.

Values are read by Hydra's own grammar and checked as a run checks its configuration when it starts, so that a dry run
and a run agree.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.settings.compose import APPENDABLE, CONFIGS, Config, known_experiments, message, quick_config
from recface.settings.overrides import normalise_arguments
from recface.settings.run_settings import MISSING, config_mistakes
from recface.settings.yaml_lines import Mistake
from recface.sweeps.spec import LISTED, Choice, Constant, Sweep, SweepFile, named, read_sweep_file


def checked_sweep(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> Sweep:
    """Read a sweep file and check all of it; arguments as for `read_sweep_file`.

    Raises:
        RecfaceError: All mistakes of form and, for src/run.py, of keys and values, in one line with their lines.
    """
    file = read_sweep_file(path, overrides, run_cap)
    own = file.forms and is_own(str(file.content.get("program", "")))
    return file.sweep([*file.mistakes(), *(parameter_mistakes(file) if own else ())])


def is_own(program: str) -> bool:
    """Whether a sweep's program is this project's src/run.py, so that its parameters can be checked."""
    return Path(program).resolve() == CONFIGS.parent / "src" / "run.py"


def options_of(group: str) -> list[str] | None:
    """Configurations of a group; None for a key that is no group."""
    if group == "experiment":
        return known_experiments()
    if not group or group == "table" or not (CONFIGS / group).is_dir():
        return None
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def parameter_mistakes(file: SweepFile) -> Iterator[Mistake]:
    """Find parameters that are no configuration keys, and values that a run refuses.

    Every value is tried by itself, with each experiment and each choice of groups; the points themselves, which may be
    thousands, are not composed.
    """
    metric = file.content.get("metric")
    name = metric.get("name") if isinstance(metric, dict) else None
    if isinstance(name, str) and "/" not in name:
        text = f"metric.name must be block/metric, such as validation/geometry_auc, not {name}"
        yield file.mistake(text, "metric", "name")
    keys, chosen = [], {}
    for name, form in file.forms.items():
        options = options_of(name.lstrip("+"))
        if options is not None:
            yield from _group_mistakes(file, name, options)
            chosen[name.lstrip("+")] = [value for _, value in named(form) if value in options]
        elif not name.lstrip("+").startswith("hydra."):
            keys.append(name)
    # The keys of an unknown experiment are unknown too: let through what any experiment has.
    lenient = chosen.get("experiment") == []
    if lenient:
        chosen["experiment"] = known_experiments()
    choices = [
        [f"{'+' * (group == 'experiment')}{group}={value}" for value in values]
        for group, values in chosen.items()
        if values
    ]
    configs: dict[str, Config] = {}
    for arguments in itertools.product(*choices):
        try:
            configs[" ".join(arguments)] = quick_config(arguments)
        except RecfaceError as error:
            yield file.mistake(f"{' '.join(arguments)}: {error}", "parameters")
    known = {arguments: dict(_flat(config, "")) for arguments, config in configs.items()}
    wrong = {name: text for name in keys if (text := _key_mistake(name, known, lenient))}
    yield from (file.mistake(f"parameter {name}{text}", "parameters", name) for name, text in wrong.items())
    for arguments, config in configs.items():
        right = [name for name in keys if name not in wrong and (name[0] == "+" or name in known[arguments])]
        yield from _value_mistakes(file, right, arguments, config)
        given = {name.lstrip("+") for name in file.content["parameters"]}
        for key, value in known[arguments].items():
            if value == MISSING and key not in given:
                yield file.mistake(f"lacks parameter {key}, which has no value of its own", "parameters")


def with_value(config: Config, name: str, value: Any) -> Config:
    """A configuration with a parameter's value in place, as Hydra reads it from the command line.

    Raises:
        RecfaceError: Hydra does not understand the value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        for override in OverridesParser.create().parse_overrides(normalise_arguments([f"{name}={value}"], {})):
            if override.is_sweep_override():
                raise RecfaceError(f"holds several values in one, {value}: list them under values")
            config = _put(config, override.key_or_group.split("."), override.value())
    except HydraException as error:
        raise RecfaceError(f"cannot be read by Hydra: {message(error)}") from None
    return config


def _put(config: Any, parts: Sequence[str], value: Any) -> Config:
    inner = config if isinstance(config, Mapping) else {}
    return {**inner, parts[0]: value if len(parts) == 1 else _put(inner.get(parts[0]), parts[1:], value)}


def _flat(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        yield prefix + key, value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _group_mistakes(file: SweepFile, name: str, known: Sequence[str]) -> Iterator[Mistake]:
    group = name.lstrip("+")
    if group == "experiment" and name != "+experiment":
        text = "parameter experiment: write +experiment, with a plus sign: experiments add to the configuration"
        yield file.mistake(text, "parameters", name)
    kind = "experiment" if group == "experiment" else f"{group} configuration"
    for place, value in named(file.forms[name]):
        if value not in known:
            text = f"parameter {name}: no {kind} '{value}'; known are {', '.join(known)}"
            yield file.mistake(text, "parameters", name, *place)


def _key_mistake(name: str, known: Mapping[str, Mapping[str, Any]], lenient: bool) -> str | None:
    """What is wrong with a parameter's name, given the keys under each choice of experiment and groups."""
    key = name.lstrip("+")
    if name.startswith("+") and key.startswith(APPENDABLE):
        return None
    without = [arguments for arguments, keys in known.items() if key not in keys]
    if len(without) == len(known):
        near = difflib.get_close_matches(key, sorted({key for keys in known.values() for key in keys}), 1)
        advice = f"; did you mean {near[0]}?" if near else ": see configs/ or `python src/run.py --cfg job`"
        return f" is no configuration key{advice}"
    if without and not lenient:
        return f" is no key with {', '.join(without)}"
    return f": write {key}, without a plus sign" if name.startswith("+") and not name.startswith("++") else None


def _value_mistakes(file: SweepFile, names: Sequence[str], arguments: str, config: Config) -> Iterator[Mistake]:
    """Values that a run refuses, each tried by itself beside the parameters that have one value only."""
    for name in names:
        form = file.forms[name]
        if isinstance(form, Constant):
            with contextlib.suppress(RecfaceError):
                config = with_value(config, name, form.value)
    before = config_mistakes(config)

    def wrong(name: str, value: Any) -> list[str]:
        """What one value makes wrong, in its own key or elsewhere."""
        try:
            after = config_mistakes(with_value(config, name, value))
        except RecfaceError as error:
            return [f"{name} {error}"]
        own = f"{name.lstrip('+')}."
        return [f"{key} {text}" for key, text in after if f"{key}.".startswith(own) or (key, text) not in before]

    for name in names:
        form = file.forms[name]
        fractions = form.distribution not in LISTED and not isinstance(form, Choice)
        if fractions and any("whole" in text for text in wrong(name, 0.5)):
            text = f"parameter {name} is a whole number, but drawn with fractions: use int_uniform or values"
            yield file.mistake(text, "parameters", name)
            continue
        for place, value in named(form):
            yield from (file.mistake(f"parameter {text}", "parameters", name, *place) for text in wrong(name, value))
    told = tuple(f"{name.lstrip('+')}." for name in names)
    for key, text in before:
        if not f"{key}.".startswith(told):
            yield file.mistake(f"{arguments}: {key} {text}".removeprefix(": "), "parameters")
