"""A sweep: W&B's sweep file as declared settings, the points of a grid, and the command line of each.

Keys and distributions: https://docs.wandb.ai/models/sweeps/sweep-config-keys. Imports nothing heavy, for `--dry-run`.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from recface.errors import RecfaceError
from recface.settings.declared import Count, Positive, Settings, Several, Share, number


def _no_text(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", value, re.IGNORECASE):
        raise ValueError(f"must be a number, and YAML takes {value} for text: write a dot and a sign, as in 1.0e-5")
    return value


Number = Annotated[float, number("a number", lambda _: True), BeforeValidator(_no_text)]


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

    min: Annotated[Positive, BeforeValidator(_no_text)]


class Normal(Form):
    """A normally distributed number, or the exponential of one."""

    mu: Number = 0.0
    sigma: Positive = 1.0


def _stepped(name: str, base: type[Form]) -> type[Form]:
    """The form `base`, rounded to a multiple of `q`."""
    return create_model(name, __base__=base, q=(Positive, 1.0))


FORMS: dict[str, type[Form]] = {
    "constant": Constant,
    "categorical": Choice,
    "categorical_w_probabilities": create_model("WeightedChoice", __base__=Choice, probabilities=(list[Share], ...)),
    "int_uniform": WholeInterval,
    "uniform": Interval,
    "q_uniform": _stepped("SteppedInterval", Interval),
    "log_uniform": Interval,
    "log_uniform_values": PositiveInterval,
    "q_log_uniform_values": _stepped("SteppedPositiveInterval", PositiveInterval),
    "normal": Normal,
    "q_normal": _stepped("SteppedNormal", Normal),
    "log_normal": Normal,
}
"""Supported distributions; W&B has more, such as beta."""
MOST_POINTS = 10_000
"""A sweep has at most this many points; one line of a file could ask for billions."""
UNREADABLE = ("args_no_boolean_flags", "args_json", "args_no_equals")
"""Macros whose arguments Hydra cannot read: they leave false out, or are no key=value."""
LISTED = ("constant", "categorical", "int_uniform")
"""Distributions with a finite list of values, as a grid needs."""


def distribution_of(form: Mapping[str, Any]) -> str:
    """The distribution of a parameter: as named, or as W&B infers it from the other keys."""
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
    eta: Several = 3
    strict: Literal[False] = False

    @model_validator(mode="after")
    def _has_a_first_rung(self) -> EarlyTerminate:
        if self.min_iter is None and None in (self.max_iter, self.s):
            raise ValueError("needs min_iter, or max_iter and s")
        return self


class Sweep(Settings):
    """A sweep; once its file is read, `name` is the file's name without its ending, after which logs are named."""

    program: str
    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Annotated[SerializeAsAny[Form], BeforeValidator(form_of)]]
    name: str = ""
    project: str = ""
    entity: str = ""
    description: str = ""
    metric: Metric | None = None
    early_terminate: EarlyTerminate | None = None
    command: list[Any] = ["${env}", "${interpreter}", "${program}", "${args}"]
    run_cap: Count | None = None


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    name: str  # what differs between the points, fit for a file name: `experiment=sir,seed=0`
    parameters: dict[str, Any]  # every one, sorted by name


def grid_points(sweep: Sweep) -> list[Point]:
    """Enumerate a grid as W&B does: names sorted, the last one changing fastest, equal values once, `run_cap` at most.

    W&B sorts parameter names whatever their order in the file (package `sweeps`, `HyperParameterSet.from_config`), so
    neighbors in an ablation differ by seed, and two workers seldom wait for the same shared first stage.

    Raises:
        RecfaceError: Another method, or a parameter without a finite list of values.
    """
    if sweep.method != "grid":
        raise RecfaceError(f"sweep {sweep.name}: method {sweep.method} has no list of points")
    names = sorted(sweep.parameters)
    choices = [choices_of(sweep, name) for name in names]
    varied = [name for name, values in zip(names, choices, strict=True) if len(values) > 1]
    combinations = (dict(zip(names, values, strict=True)) for values in itertools.product(*choices))
    capped = itertools.islice(combinations, sweep.run_cap)
    return [Point(point_name(parameters, varied or names), parameters) for parameters in capped]


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


def grid_size(forms: Mapping[str, Form]) -> int:
    """Number of points of a grid, equal values counted again; no range is written out."""
    return math.prod(map(_count, forms.values()))


def _count(form: Form) -> int:
    return form.max - form.min + 1 if isinstance(form, WholeInterval) else len(list(named(form)))


def point_name(parameters: Mapping[str, Any], names: Sequence[str]) -> str:
    """Name of a point by some of its parameters, with characters that file names can hold."""
    text = ",".join(f"{name.lstrip('+')}={parameters[name]}" for name in names)
    return "".join(c if c.isalnum() or c in "=,._-" else "_" for c in text)[:150]


def expand(sweep: Sweep, parameters: Mapping[str, Any]) -> list[str]:
    """A point's command: the template as W&B's agent fills it in (`wandb.sdk.launch.sweeps.utils`), with this Python.

    Raises:
        RecfaceError: An unknown macro.
    """
    flags = [f"{name}={value}" for name, value in parameters.items()]
    macros: dict[str, list[str]] = {
        "env": ["/usr/bin/env"] if os.name != "nt" else [],
        "interpreter": [sys.executable],
        "program": installed_program(sweep.program) or [sweep.program],
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
        macro = re.fullmatch(r"\$\{(.*)\}", part)
        if macro and macro[1] not in macros:
            raise RecfaceError(f"sweep {sweep.name}: command holds unknown {part}; known are {', '.join(macros)}")
        command += macros[macro[1]] if macro else [part]
    return command


def installed_program(program: str) -> list[str] | None:
    """`recface run` for a sweep that names src/run.py outside of a clone; None for any other program."""
    return ["-m", "recface", "run"] if program == "src/run.py" and not Path(program).exists() else None


def dry_run(sweep: Sweep) -> Iterator[str]:
    """The command of each point; for points that are drawn as the sweep goes, one command with their distributions."""
    if sweep.method == "grid":
        yield from (shlex.join(expand(sweep, point.parameters)) for point in grid_points(sweep))
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
