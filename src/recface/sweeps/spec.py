"""A sweep: W&B's sweep file as declared settings, the points of a grid, and the command line of each point.

Keys and distributions follow https://docs.wandb.ai/models/sweeps/sweep-config-keys. Imports nothing heavy: `--dry-run`
answers at once.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from recface.errors import RecfaceError
from recface.settings import declared
from recface.settings.declared import Count, Positive, Settings, Share
from recface.settings.yaml_lines import Lines, Mistake

DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]


def _no_text(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", value, re.IGNORECASE):
        raise ValueError(f"must be a number, and YAML takes {value} for text: write a dot and a sign, as in 1.0e-5")
    return value


Number = Annotated[float, Field(allow_inf_nan=False, strict=True), BeforeValidator(_no_text)]


class Form(Settings):
    """A parameter of a sweep: a value, a list of values, or a distribution to draw from."""

    distribution: str


class Constant(Form):
    """One value."""

    value: Any


class Choice(Form):
    """One of several values."""

    values: list[Any] = Field(min_length=1)
    probabilities: list[Share] | None = None

    @field_validator("probabilities")
    @classmethod
    def _one_each(cls, shares: list[float] | None, info: ValidationInfo) -> list[float] | None:
        count = len(info.data.get("values", ()))
        if shares is not None and (len(shares) != count or not math.isclose(sum(shares), 1, abs_tol=1e-6)):
            raise ValueError("must hold one share for each value, 1 in total")
        return shares


class WeightedChoice(Choice):
    """One of several values, each with its probability."""

    probabilities: list[Share]


class Interval(Form):
    """A number between two bounds; for `log_uniform` they are the natural logarithms of its bounds."""

    min: Number
    max: Number

    @field_validator("max")
    @classmethod
    def _above_min(cls, value: float, info: ValidationInfo) -> float:
        if value <= info.data.get("min", -math.inf):
            raise ValueError(f"must be above min, which is {info.data['min']!r}, not {value!r}")
        return value


class WholeInterval(Interval):
    """A whole number between two bounds, both included."""

    min: int
    max: int


class PositiveInterval(Interval):
    """A number between two bounds above 0, drawn evenly by its logarithm."""

    min: Positive


class SteppedInterval(Interval):
    """A multiple of `q` between two bounds."""

    q: Positive = 1.0


class SteppedPositiveInterval(PositiveInterval):
    """A multiple of `q` between two bounds above 0, drawn evenly by its logarithm."""

    q: Positive = 1.0


class Normal(Form):
    """A normally distributed number, or the exponential of one."""

    mu: Number = 0.0
    sigma: Positive = 1.0


class SteppedNormal(Normal):
    """A normally distributed number, rounded to a multiple of `q`."""

    q: Positive = 1.0


FORMS: dict[str, type[Form]] = {
    "constant": Constant,
    "categorical": Choice,
    "categorical_w_probabilities": WeightedChoice,
    "int_uniform": WholeInterval,
    "uniform": Interval,
    "q_uniform": SteppedInterval,
    "log_uniform": Interval,
    "log_uniform_values": PositiveInterval,
    "q_log_uniform_values": SteppedPositiveInterval,
    "normal": Normal,
    "q_normal": SteppedNormal,
    "log_normal": Normal,
}
"""Supported distributions; W&B has more, such as beta."""
LISTED = ("constant", "categorical", "int_uniform")
"""Distributions with a finite list of values, as a grid needs."""


def distribution_of(form: Mapping[str, Any]) -> str:
    """The distribution of a parameter: as it says, or as W&B infers it from the other keys."""
    if "distribution" in form:
        return str(form["distribution"])
    if "value" in form:
        return "constant"
    if "values" in form:
        return "categorical_w_probabilities" if "probabilities" in form else "categorical"
    return "int_uniform" if all(type(form.get(key)) is int for key in ("min", "max")) else "uniform"


def form_of(content: Any) -> Any:
    """A parameter's form from its mapping in the file."""
    if not isinstance(content, dict):
        return content
    name = distribution_of(content)
    return FORMS[name].model_validate({**content, "distribution": name})


def named(form: Form) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Values and bounds that a parameter's form spells out, each with its place under the parameter."""
    if isinstance(form, Constant):
        yield ("value",), form.value
    elif isinstance(form, Choice):
        yield from ((("values", index), value) for index, value in enumerate(form.values))
    elif isinstance(form, Interval) and form.distribution != "log_uniform":  # its bounds are logarithms
        yield from ((("min",), form.min), (("max",), form.max))


class Metric(Settings):
    """The number by which runs are compared: a block and a key of the run's record."""

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"


class EarlyTerminate(Settings):
    """W&B's hyperband: runs are compared after b, b eta, b eta^2, ... values; b is min_iter, or max_iter / eta^s."""

    type: Literal["hyperband"]
    min_iter: Count | None = None
    max_iter: Count | None = None
    s: Count | None = None
    eta: Annotated[int, Field(ge=2, strict=True)] = 3
    strict: Literal[False] = False

    @model_validator(mode="after")
    def _has_a_first_rung(self) -> EarlyTerminate:
        if self.min_iter is None and None in (self.max_iter, self.s):
            raise ValueError("needs min_iter, or max_iter and s")
        return self


class Sweep(Settings):
    """A sweep file.

    Attributes:
        program: Script to run.
        method: How points are chosen.
        parameters: Name to its form.
        name: In W&B the sweep's title; once read, the file's name without its ending, after which logs are named.
        metric: Needed by bayes and early_terminate.
        early_terminate: None runs every point to its end.
        command: Command template.
        run_cap: Most points, None for all.
    """

    program: str
    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Annotated[SerializeAsAny[Form], BeforeValidator(form_of)]]
    name: str = ""
    project: str = ""
    entity: str = ""
    description: str = ""
    metric: Metric | None = None
    early_terminate: EarlyTerminate | None = None
    command: list[Any] = DEFAULT_COMMAND
    run_cap: Count | None = None


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as it was read, right or wrong.

    Attributes:
        path: The file.
        content: All of it, overrides in force.
        forms: Those of its parameters that are right in form.
        lines: Line of each key.
        overridden: Names of the parameters that the command line set.
    """

    path: Path
    content: dict[str, Any]
    forms: dict[str, Form]
    lines: Lines
    overridden: set[str]

    def mistake(self, text: str, *place: Any) -> Mistake:
        """A mistake at a path of keys; one in an overridden parameter has no line."""
        outside = place[:1] == ("parameters",) and place[1:2] and place[1] in self.overridden
        return Mistake(None if outside else self.lines.of(*place), text)

    def mistakes(self) -> list[Mistake]:
        """Everything wrong with its form."""
        found, parameters = [], self.content.get("parameters")
        if isinstance(parameters, dict):
            for name, form in parameters.items():
                found += [(("parameters", name, *place), text) for place, text in form_mistakes(form)]
            found += declared.mistakes(Sweep, {**self.content, "parameters": self.forms})
        else:
            found += declared.mistakes(Sweep, self.content)
        found += _rules(self.content, self.forms)
        return [self.mistake(_sentence(place, text), *place) for place, text in found]

    def sweep(self, mistakes: Sequence[Mistake]) -> Sweep:
        """The sweep; with any mistakes, a `RecfaceError` that tells all in one line, in the file's order."""
        if mistakes:
            ordered = sorted(set(mistakes), key=lambda mistake: (mistake.line or 0, mistake.text))
            raise RecfaceError(f"{self.path}: {'; '.join(map(str, ordered))}")
        return Sweep.model_validate({**self.content, "name": self.path.stem})


def read_sweep_file(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> SweepFile:
    """Read a sweep file.

    Args:
        path: YAML.
        overrides: `key=value`, each replacing the parameter of that name (with or without a leading `+`), or added to
            the others; `key=a,b` gives it several values.
        run_cap: Replaces the file's.

    Raises:
        RecfaceError: The file cannot be read at all, or an override is not of the form key=value.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(map(str, path.parent.glob("*.yaml")))) or "none there"
        raise RecfaceError(f"{path}: no such sweep file; known are {known}")
    content, lines = declared.read_yaml(path)
    if not isinstance(content, dict):
        raise RecfaceError(f"{path}: must be a mapping of keys to values, not {type(content).__name__}")
    if run_cap is not None:
        content["run_cap"] = run_cap
    overridden, forms = set(), {}
    if isinstance(content.get("parameters"), dict):
        parameters = content["parameters"] = {str(name): form for name, form in content["parameters"].items()}
        for override in overrides:
            key, form = _override(override)
            name = next((name for name in parameters if name.lstrip("+") == key.lstrip("+")), key)
            parameters[name] = form
            overridden.add(name)
        forms = {name: form_of(form) for name, form in parameters.items() if not form_mistakes(form)}
    return SweepFile(path, content, forms, lines, overridden)


def form_mistakes(form: Any) -> list[declared.Mistake]:
    """Everything wrong with one parameter by itself, each with its place under the parameter."""
    if not isinstance(form, dict):
        return [((), f"must be a mapping such as {{value: 1}}, not {form!r}")]
    if "parameters" in form:
        return [(("parameters",), "nests, which Hydra cannot take: write the keys with dots, as in optimizer.name")]
    known = list(dict.fromkeys(key for model in FORMS.values() for key in model.model_fields))
    if not {"value", "values", "distribution", "min", "max"} & set(form):
        unknown = [key for key in form if key not in known]
        text = f"is no known key; known are {', '.join(known)}"
        return [((key,), text) for key in unknown] or [((), "needs value, values, or min and max")]
    name = distribution_of(form)
    if name not in FORMS:
        return [(("distribution",), f"must be one of {', '.join(FORMS)}, not {name!r}")]
    return declared.mistakes(FORMS[name], {**form, "distribution": name})


def _rules(content: Mapping[str, Any], forms: Mapping[str, Form]) -> Iterator[declared.Mistake]:
    """What the methods need of each other's keys."""
    method = content.get("method")
    if content.get("parameters") == {}:
        yield ("parameters",), "must hold at least one parameter"
    if content.get("metric") is None and (method == "bayes" or content.get("early_terminate") is not None):
        yield ("metric",), f"is missing: {'method bayes' if method == 'bayes' else 'early_terminate'} needs one"
    if method in ("random", "bayes") and content.get("run_cap") is None:
        yield ("method",), f"{method} would never end: add run_cap, the number of points"
    if method == "grid":
        for name, form in forms.items():
            if form.distribution not in LISTED:
                text = f"has distribution {form.distribution}, but method grid needs a list of values"
                yield ("parameters", name), text


def _sentence(place: tuple[Any, ...], text: str) -> str:
    """A mistake with the key that it is about."""
    if len(place) > 1 and place[0] == "parameters":
        key = ".".join(map(str, place[2:]))
        return f"parameter {place[1]}: {key} {text}" if key else f"parameter {place[1]} {text}"
    if text == "is no known key" and len(place) == 1:
        text += f"; known are {', '.join(Sweep.model_fields)}"
    return f"{'.'.join(map(str, place))} {text}"


def _override(text: str) -> tuple[str, dict[str, Any]]:
    """Key and form of an override from the command line."""
    key, separator, value = text.partition("=")
    if not separator or not key or key.startswith("-"):
        raise RecfaceError(f"override {text!r} must be of the form key=value")
    # Hydra's own rule: commas in brackets or quotes belong to the value.
    several = "," in value and not any(character in value for character in "[]{}()'\"")
    return key, {"values": value.split(",")} if several else {"value": value}


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        name: What differs between the points, fit for a file name: `experiment=sir,seed=0`.
        parameters: Every parameter with its value, sorted by name.
    """

    name: str
    parameters: dict[str, Any]


def grid_points(sweep: Sweep) -> list[Point]:
    """Enumerate a grid as W&B does: names sorted, the last one changing fastest, equal values once.

    W&B sorts parameter names whatever their order in the file (package `sweeps`, `HyperParameterSet.from_config`), so
    neighbors in an ablation differ by seed, and two workers seldom wait for the same shared first stage.

    Args:
        sweep: A sweep of method grid.

    Returns:
        The points, at most `run_cap`.

    Raises:
        RecfaceError: Another method, or a parameter without a finite list of values.
    """
    if sweep.method != "grid":
        raise RecfaceError(f"sweep {sweep.name}: method {sweep.method} has no list of points")
    names = sorted(sweep.parameters)
    choices = [choices_of(sweep, name) for name in names]
    varied = [name for name, values in zip(names, choices, strict=True) if len(values) > 1]
    combinations = (dict(zip(names, values, strict=True)) for values in itertools.product(*choices))
    return [
        Point(point_name(parameters, varied or names), parameters)
        for parameters in itertools.islice(combinations, sweep.run_cap)
    ]


def choices_of(sweep: Sweep, name: str) -> list[Any]:
    """The distinct values of a parameter, in the file's order; W&B takes 3.0 and 3 as one, but not 1 and true."""
    form = sweep.parameters[name]
    if isinstance(form, WholeInterval):
        return list(range(form.min, form.max + 1))
    if form.distribution not in LISTED:
        raise RecfaceError(f"sweep {sweep.name}: parameter {name} has no list of values, which method grid needs")
    distinct: dict[str, Any] = {}
    for _, value in named(form):
        whole = isinstance(value, float) and value.is_integer()
        distinct.setdefault(json.dumps(int(value) if whole else value, sort_keys=True, default=str), value)
    return list(distinct.values())


def point_name(parameters: Mapping[str, Any], names: Sequence[str]) -> str:
    """Name of a point by some of its parameters, with characters that file names can hold."""
    text = ",".join(f"{name.lstrip('+')}={parameters[name]}" for name in names)
    return "".join(c if c.isalnum() or c in "=,._-" else "_" for c in text)[:150]


def expand(sweep: Sweep, parameters: Mapping[str, Any]) -> list[str]:
    """Fill in the command template as W&B's agent does (`wandb.sdk.launch.sweeps.utils`), but with this Python.

    Args:
        sweep: The sweep.
        parameters: Values of the point.

    Returns:
        The command, one argument an item.

    Raises:
        RecfaceError: An unknown macro.
    """
    flags = [f"{name}={value}" for name, value in parameters.items()]
    macros: dict[str, list[str]] = {
        "env": ["/usr/bin/env"] if os.name != "nt" else [],
        "interpreter": [sys.executable],
        "program": [sweep.program],
        "args": [f"--{flag}" for flag in flags],
        "args_no_hyphens": flags,
        "args_append_hydra": [f"+{flag}" for flag in flags],
        "args_override_hydra": [f"++{flag}" for flag in flags],
        "args_no_equals": [part for name, value in parameters.items() for part in (f"--{name}", str(value))],
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in parameters.items()
            if value is not False
        ],
        "args_json": [json.dumps(parameters)],
    }
    command: list[str] = []
    for part in map(str, sweep.command):
        part = re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", lambda match: os.environ.get(match[1], match[1]), part)
        if not (part.startswith("${") and part.endswith("}")):
            command.append(part)
        elif part[2:-1] in macros:
            command += macros[part[2:-1]]
        else:
            raise RecfaceError(f"sweep {sweep.name}: command holds unknown {part}; known are {', '.join(macros)}")
    return command


def dry_run(sweep: Sweep) -> Iterator[str]:
    """The command of each point; for points that are drawn as the sweep goes, one command with their distributions."""
    if sweep.method == "grid":
        yield from (" ".join(expand(sweep, point.parameters)) for point in grid_points(sweep))
        return
    yield f"# {sweep.run_cap} points, method {sweep.method}, each with values drawn from {{...}}:"
    yield " ".join(expand(sweep, {name: _in_words(form) for name, form in sorted(sweep.parameters.items())}))


def _in_words(form: Form) -> Any:
    if isinstance(form, Constant):
        return form.value
    if isinstance(form, Choice):
        return f"{{{', '.join(map(str, form.values))}}}"
    keys = form.model_dump(exclude_unset=True, exclude={"distribution"})
    return f"{{{form.distribution}: {', '.join(f'{key} {value}' for key, value in keys.items())}}}"
