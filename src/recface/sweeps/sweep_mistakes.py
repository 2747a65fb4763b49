"""Reading a sweep file: all of its mistakes are reported at once, each with its line, before anything runs.

For sweeps of this project's src/run.py, values are read by Hydra's own grammar and checked as a run checks its
configuration when it starts, so that a dry run and a run agree.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.files.yaml_files import Lines, read_yaml
from recface.settings import Config, declared
from recface.settings.compose import APPENDABLE, CONFIGS, group_options, known_experiments, message, quick_config
from recface.settings.overrides import is_path, normalize_arguments, unquoted
from recface.settings.run_settings import MISSING, config_mistakes
from recface.sweeps import spec
from recface.sweeps.spec import FORMS, LISTED, Choice, Constant, Form, Sweep, named


def checked_sweep(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> Sweep:
    """Read a sweep file and check all of it.

    Args:
        path: YAML.
        overrides: `key=value`, each replacing the parameter of that name (with or without a leading `+`), or added to
            the others; `key=a,b` gives it several values.
        run_cap: Replaces the file's.

    Raises:
        RecfaceError: All mistakes of form and, for src/run.py, of keys and values, in one line with their lines.
    """
    file = SweepFile(Path(path), overrides, run_cap)
    if file.forms and file.own and not file.is_endless:
        _check_parameters(file)
    if file.mistakes:
        texts = [f"line {line}: {text}" if line else f"override: {text}" for line, text in sorted(file.mistakes)]
        raise RecfaceError(f"{path}: {'; '.join(texts)}")
    return Sweep.model_validate({**file.content, "name": file.path.stem})


def is_own(program: str) -> bool:
    """Whether a sweep's program is this project's src/run.py, so that its parameters can be checked."""
    own = CONFIGS.parent / "src" / "run.py"
    return spec.installed_program(program) is not None or os.path.realpath(program.replace("\0", "")) == str(own)


def options_of(group: str) -> list[str] | None:
    """Configurations of a group; None for a key that is no group."""
    return None if group in ("", "table") else group_options(group) or None


class SweepFile:
    """A sweep file with its overrides, right or wrong; a `RecfaceError` where it cannot be read at all.

    Attributes:
        content: All of it, overrides in force.
        forms: Those of its parameters that are right in form.
        mistakes: Line and text of all that are known so far; at first those of form.
        own: Whether its program is this project's.
        is_endless: Whether it has more points than could be run; its values are not worth a look then.
    """

    def __init__(self, path: Path, overrides: Sequence[str], run_cap: int | None) -> None:
        if not path.is_file():
            known = ", ".join(sorted(map(str, path.parent.glob("*.yaml")))) or "none there"
            raise RecfaceError(f"{path}: no such sweep file; known are {known}")
        self.path, self.mistakes = path, set[tuple[int, str]]()
        self.content, self.lines = read_yaml(path)
        if not isinstance(self.content, dict):
            raise RecfaceError(f"{path}: must be a mapping of keys to values, not {type(self.content).__name__}")
        if run_cap is not None:
            self.content["run_cap"] = run_cap
        self.own = is_own(str(self.content.get("program", "")))
        self.forms: dict[str, Form] = {}
        checked = dict(self.content)
        if isinstance(self.content.get("parameters"), dict):
            parameters = {str(name): form for name, form in self.content["parameters"].items()}
            self.content["parameters"] = parameters
            self._override(parameters, overrides)
            for name, form in parameters.items():
                found = form_mistakes(form)
                for place, text in found:
                    key = f": {'.'.join(map(str, place))}" if place else ""
                    self.tell_of(name, f"{key} {text}", *place)
                if not found:
                    self.forms[name] = spec.form_of(form)
            checked["parameters"] = self.forms
        for place, text in declared.mistakes(Sweep, checked):
            known = f"; known are {', '.join(Sweep.model_fields)}" if text == "is an unknown key" else ""
            self.tell(f"{'.'.join(map(str, place))} {text}{known}", *place)
        self._check_method()
        self._check_command()
        self.is_endless = self._check_size()

    def tell(self, text: str, *place: Any) -> None:
        """Note a mistake at a path of keys; one in an override has line 0."""
        self.mistakes.add((self.lines.of(*place), text))

    def tell_of(self, name: str, text: str, *place: Any) -> None:
        """Note a mistake in a parameter, by the words that follow its name."""
        self.tell(f"parameter {name}{text}", "parameters", name, *place)

    def _check_method(self) -> None:
        """Find what the methods need of other keys."""
        method, metric, stop = (self.content.get(key) for key in ("method", "metric", "early_terminate"))
        if self.content.get("parameters") == {}:
            self.tell("parameters must hold at least one parameter", "parameters")
        if metric is None and (method == "bayes" or stop is not None):
            self.tell(f"metric is missing: {'method bayes' if method == 'bayes' else 'early_terminate'} needs one")
        if method in ("random", "bayes") and self.content.get("run_cap") is None:
            self.tell(f"method {method} would never end: add run_cap, the number of points", "method")
        for name, form in self.forms.items():
            if name.lstrip("+") == "paths.runs" and len(list(named(form))) > 1:
                self.tell_of(name, " has several values, but a sweep has one folder of runs: give one value")
            if method == "grid" and form.distribution not in LISTED:
                self.tell_of(name, f" has distribution {form.distribution}, but method grid needs a list of values")

    def _check_command(self) -> None:
        """Find macros that are unknown, or that this project's program cannot take."""
        command = self.content.get("command")
        parts = [str(part) for part in command] if isinstance(command, list) else []
        sent = re.compile(r"\$\{(?!env|interpreter|program).+\}")  # an unknown one is told by itself
        if self.own and parts and self.forms and not any(map(sent.fullmatch, parts)):
            self.tell("command sends no parameters: add ${args_no_hyphens}", "command")
        for index, part in enumerate(parts):
            rest = re.sub(r"\$\{envvar:[A-Z0-9_]*\}", "", part)
            if self.own and "${" in rest and not re.fullmatch(r"\$\{.*\}", part):
                self.tell(
                    f"command holds {part}, but macros other than ${{envvar:NAME}} are whole words", "command", index
                )
            if self.own and part in [f"${{{name}}}" for name in spec.UNREADABLE]:
                self.tell(f"{self.content['program']} cannot read {part}: use ${{args_no_hyphens}}", "command", index)
            try:
                spec.expand(Sweep(name=self.path.stem, program="", method="grid", parameters={}, command=[part]), {})
            except RecfaceError as error:
                self.tell(str(error), "command", index)

    def _check_size(self) -> bool:
        """Find that there are more points than could be run, without writing them out."""
        cap, grid = self.content.get("run_cap"), self.content.get("method") == "grid"
        size = spec.grid_size(self.forms) if grid else cap if isinstance(cap, int) else 0
        if size <= spec.MOST_POINTS:
            return False
        text = f"asks for {size:,} points, more than {spec.MOST_POINTS:,}"
        if grid:
            largest = max(self.forms, key=lambda name: spec.grid_size({name: self.forms[name]}))
            self.tell_of(largest, f": the grid {text}: give fewer values, or use method random with run_cap")
        else:
            self.tell(f"run_cap {text}: give fewer", "run_cap")
        return True

    def _override(self, parameters: dict[str, Any], overrides: Sequence[str]) -> None:
        places = {}
        for override in overrides:
            key, separator, value = override.partition("=")
            if not separator or not key or key.startswith("-"):
                raise RecfaceError(f"override {override!r} must be of the form key=value")
            name = next((name for name in parameters if name.lstrip("+") == key.lstrip("+")), key)
            path = is_path(key) or key.lstrip("+").startswith("paths.")
            # Hydra's own rule: commas in brackets or quotes belong to the value; and in paths.
            several = not path and "," in value and not any(character in value for character in "[]{}()'\"")
            value = unquoted(value) if path else value
            parameters[name] = {"values": value.split(",")} if several else {"value": value}
            places["parameters", name] = 0
        numbers = {place: line for place, line in self.lines.numbers.items() if place[:2] not in places}
        self.lines = Lines(numbers | places)


def form_mistakes(form: Any) -> list[declared.Mistake]:
    """Everything wrong with one parameter by itself, each with its place under the parameter."""
    if not isinstance(form, dict):
        return [((), f"must be a mapping such as {{value: 1}}, not {form!r}")]
    if "parameters" in form:
        return [(("parameters",), "nests, which Hydra cannot take: write the keys with dots, as in optimizer.name")]
    if not {"value", "values", "distribution", "min", "max"} & set(form):
        keys = dict.fromkeys(key for model in FORMS.values() for key in model.model_fields)
        text = f"is an unknown key; known are {', '.join(keys)}"
        return [((key,), text) for key in form if key not in keys] or [((), "needs value, values, or min and max")]
    name = spec.distribution_of(form)
    if name not in FORMS:
        return [(("distribution",), f"must be one of {', '.join(FORMS)}, not {name!r}")]
    return declared.mistakes(FORMS[name], {**form, "distribution": name})


def _check_parameters(file: SweepFile) -> None:
    """Find parameters that are no configuration keys, and values that a run refuses.

    Every value is tried by itself, with each experiment and each choice of groups; the points themselves, which may be
    thousands, are not composed.
    """
    metric = file.content.get("metric")
    if isinstance(metric, dict) and "/" not in str(metric.get("name", "/")):
        text = f"metric.name must be block/metric, such as validation/geometry_auc, not {metric['name']}"
        file.tell(text, "metric", "name")
    keys, chosen = [], {}
    for name, form in file.forms.items():
        options = options_of(name.lstrip("+"))
        if options is not None:
            _check_group(file, name, options)
            chosen[name.lstrip("+")] = list(dict.fromkeys(value for _, value in named(form) if value in options))
        elif not name.lstrip("+").startswith("hydra."):
            keys.append(name)
    # The keys of an unknown experiment are unknown too: let through what any experiment has.
    lenient = chosen.get("experiment") == []
    if lenient:
        chosen["experiment"] = known_experiments()
    signed = {f"+{group}" if group == "experiment" else group: values for group, values in chosen.items() if values}
    choices = ([f"{group}={value}" for value in values] for group, values in signed.items())
    configs: dict[str, Config] = {}
    for choice in itertools.product(*choices):
        try:
            configs[" ".join(choice)] = quick_config(*choice)
        except RecfaceError as error:
            file.tell(f"{' '.join(choice)}: {error}", "parameters")
    known = {arguments: dict(_flat(config)) for arguments, config in configs.items()}
    wrong = {name: mistake for name in keys if (mistake := _key_mistake(name, known, lenient))}
    for name, mistake in wrong.items():
        file.tell_of(name, mistake)
    given = {name.lstrip("+") for name in file.content["parameters"]}
    for arguments, config in configs.items():
        names = [name for name in keys if name not in wrong and (name[0] == "+" or name in known[arguments])]
        _check_values(file, names, arguments, config)
        for key, value in known[arguments].items():
            if value == MISSING and key not in given:
                file.tell(f"lacks parameter {key}, which has no value of its own", "parameters")


def _check_group(file: SweepFile, name: str, known: Sequence[str]) -> None:
    kind = "experiment" if name.lstrip("+") == "experiment" else f"{name.lstrip('+')} configuration"
    if name == "experiment":
        file.tell_of(name, ": write +experiment, with a plus sign: experiments add to the configuration")
    for place, value in named(file.forms[name]):
        if value not in known:
            file.tell_of(name, f": no {kind} '{value}'; known are {', '.join(known)}", *place)


def _key_mistake(name: str, known: Mapping[str, Mapping[str, Any]], lenient: bool) -> str | None:
    """The mistake in a parameter's name, given the keys under each choice of experiment and groups."""
    key = name.lstrip("+")
    if name.startswith("+") and key.startswith(APPENDABLE):
        return None
    without = [arguments for arguments, keys in known.items() if key not in keys]
    if len(without) == len(known):
        near = difflib.get_close_matches(key, sorted({key for keys in known.values() for key in keys}), 1)
        advice = f"; did you mean {near[0]}?" if near else ": see configs/ or `recface run --cfg job`"
        return f" is no configuration key{advice}"
    if without and not lenient:
        return f" is no key with {', '.join(without)}"
    return f": write {key}, without a plus sign" if name.startswith("+") and not name.startswith("++") else None


def _check_values(file: SweepFile, names: Sequence[str], arguments: str, config: Config) -> None:
    """Find values that a run refuses, each tried by itself beside the parameters that have one value only."""
    constants = {name: form.value for name in names if isinstance(form := file.forms[name], Constant)}
    for name, value in constants.items():
        with contextlib.suppress(RecfaceError):
            config = with_value(config, name, value)
    before = config_mistakes(config)

    def wrong(name: str, value: Any) -> list[str]:
        """Mistakes that one value makes, in its own key or elsewhere."""
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
            file.tell_of(name, " is a whole number, but drawn with fractions: use int_uniform or values")
            continue
        for place, value in named(form):
            for text in wrong(name, value):
                file.tell(f"parameter {text}", "parameters", name, *place)
    own = tuple(f"{name.lstrip('+')}." for name in names)
    for key, text in before:
        if not f"{key}.".startswith(own):
            file.tell(f"{arguments}: {key} {text}".removeprefix(": "), "parameters")


def with_value(config: Config, name: str, value: Any) -> Config:
    """A configuration with a parameter's value in place, as Hydra reads it; a `RecfaceError` where it cannot."""
    for keys, item in _parsed(f"{name}={value}"):
        config = _put(config, keys, item)
    return config


@functools.cache
def _parsed(argument: str) -> list[tuple[list[str], Any]]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        overrides = OverridesParser.create().parse_overrides(normalize_arguments([argument], {}))
    except HydraException as error:
        raise RecfaceError(f"cannot be read by Hydra: {message(error)}") from None
    if any(override.is_sweep_override() for override in overrides):
        raise RecfaceError("holds several values in one: list them under values")
    return [(override.key_or_group.split("."), override.value()) for override in overrides]


def _put(config: Any, parts: Sequence[str], value: Any) -> Config:
    inner = config if isinstance(config, Mapping) else {}
    return {**inner, parts[0]: value if len(parts) == 1 else _put(inner.get(parts[0]), parts[1:], value)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys, of sections too, with their values."""
    for key, value in config.items():
        yield prefix + key, value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
