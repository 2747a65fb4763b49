"""Declared settings: pydantic models whose errors are one line that names file, key, value and range.

Everything that a user writes (a run's configuration, sweep files, tables, cards) is a subclass of `Settings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from recface.errors import RecfaceError
from recface.settings.yaml_lines import Lines, read_lines


class Settings(BaseModel):
    """Base of all declared settings: keys are known, types are exact, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def number(text: str, holds: Callable[[float], bool], whole: bool = False) -> BeforeValidator:
    """A check whose message tells the whole range, whatever is wrong with a value: "must be a number >= 0, not 'x'".

    Args:
        text: What the value must be.
        holds: Whether a finite number is in range.
        whole: Whether it must be an int.
    """

    def check(value: Any) -> Any:
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value) or not holds(value):
            raise ValueError(f"must be {text}, not {value!r}")
        return value

    return BeforeValidator(check)


NonNegative = Annotated[float, number("a number >= 0", lambda value: value >= 0)]
"""A number >= 0, such as the weight of a loss term."""
Positive = Annotated[float, number("a number > 0", lambda value: value > 0)]
"""A number > 0."""
Share = Annotated[float, number("a number from 0 to 1", lambda value: 0 <= value <= 1)]
"""A number from 0 to 1."""
Count = Annotated[int, number("a whole number >= 1", lambda value: value >= 1, whole=True)]
"""A whole number >= 1."""
Whole = Annotated[int, number("a whole number >= 0", lambda value: value >= 0, whole=True)]
"""A whole number >= 0."""
Mistake = tuple[tuple[Any, ...], str]
"""Where a mistake is (keys and indices), and what the value must be."""
Declared = TypeVar("Declared", bound=Settings)

_BOUNDS = {"greater_than_equal": (">=", "ge"), "greater_than": (">", "gt"), "less_than_equal": ("<=", "le")}
_BOUNDS |= {"less_than": ("<", "lt")}
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}


def describe(error: ErrorDetails) -> str:
    """One mistake in words that follow the key: "must be a number >= 0, not -1"."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is an unknown key"
    if kind == "literal_error":
        return f"must be {context['expected']}, not {value!r}"
    if kind in _BOUNDS:
        sign, name = _BOUNDS[kind]
        number = "a number" if isinstance(context[name], float) else "a whole number"
        return f"must be {number} {sign} {context[name]:g}, not {value!r}"
    if kind == "too_short":
        return f"must hold at least {context['min_length']} item{'s' if context['min_length'] > 1 else ''}"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {value!r}"
    if kind == "value_error":
        return str(context["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {value!r}"


def mistakes(model: type[Settings], content: Any) -> list[Mistake]:
    """Everything in a section that its declaration does not allow; [] where it is right."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return [(item["loc"], describe(item)) for item in error.errors(include_url=False)]
    return []


def validated(model: type[Declared], content: Any, where: str = "", lines: Lines | None = None) -> Declared:
    """Check a section against its declaration.

    Args:
        model: The declaration.
        content: Plain mapping, as YAML or Hydra gives it.
        where: File, or the section's dotted name, for messages.
        lines: Line of each key, where the content is a file's.

    Returns:
        The settings.

    Raises:
        RecfaceError: All mistakes in one line, each with its key (and its line).
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        texts = []
        for item in error.errors(include_url=False):
            key = ".".join(map(str, item["loc"]))
            place = f"line {lines.of(*item['loc'])}: " if lines is not None else ""
            texts.append(f"{place}{key} {describe(item)}" if key else f"{place}{describe(item)}")
        raise RecfaceError(f"{where}: {'; '.join(texts)}" if where else "; ".join(texts)) from None


def read_yaml(path: str | Path) -> tuple[Any, Lines]:
    """Read a YAML file with the line of every key.

    Raises:
        RecfaceError: It cannot be read, is malformed, or gives a key twice.
    """
    try:
        content, lines = read_lines(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if lines.doubled:
        key, line = next(iter(lines.doubled.items()))
        raise RecfaceError(f"{path}: line {line}: {key[-1]} is given twice")
    return content, lines


def read_settings(model: type[Declared], path: str | Path) -> Declared:
    """Read a YAML file and check it against its declaration; raises as `read_yaml` and `validated`."""
    content, lines = read_yaml(path)
    return validated(model, content, str(path), lines)
