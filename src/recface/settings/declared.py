"""Declared settings: everything that a user writes (a run's configuration, sweep files, tables, cards).

Pydantic models check it; their errors are one line that names file, line, key, value and range.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from recface.errors import RecfaceError
from recface.files.guard import NAME
from recface.files.yaml_files import Lines, read_yaml

LARGEST = 1e300


class Settings(BaseModel):
    """Base of all declared settings: keys are known, types are exact, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def number(text: str, holds: Callable[[float], bool], whole: bool = False) -> BeforeValidator:
    """A check whose message tells the whole range, whatever is wrong with a value: "must be a number >= 0, not 'x'".

    `text` says what the value must be, `holds` whether a finite number is in range, `whole` whether it must be an int.
    """

    def check(value: Any) -> Any:
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not abs(value) < LARGEST or not holds(value):
            raise ValueError(f"must be {text}, not {value!r}")
        return value

    return BeforeValidator(check)


def between(low: float, high: float, whole: bool = False) -> BeforeValidator:
    """A check for a number, or a whole one, from `low` to `high`, both included."""
    kind = "a whole number" if whole else "a number"
    return number(f"{kind} from {low} to {high}", lambda value: low <= value <= high, whole)


def _plain(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"must be a plain name, since files and folders are named after it, not {name!r}")
    return name


Name = Annotated[str, AfterValidator(_plain)]
"""Text that becomes the name of a file or folder; see `recface.files.guard.plain_name`."""
NonNegative = Annotated[float, number("a number >= 0", lambda value: value >= 0)]
"""A number >= 0, such as the weight of a loss term."""
Positive = Annotated[float, number("a number > 0", lambda value: value > 0)]
"""A number > 0."""
Share = Annotated[float, between(0, 1)]
"""A number from 0 to 1."""
Count = Annotated[int, number("a whole number >= 1", lambda value: value >= 1, whole=True)]
"""A whole number >= 1."""
Several = Annotated[int, number("a whole number >= 2", lambda value: value >= 2, whole=True)]
"""A whole number >= 2."""
Whole = Annotated[int, number("a whole number >= 0", lambda value: value >= 0, whole=True)]
"""A whole number >= 0."""
Mistake = tuple[tuple[Any, ...], str]
"""Where a mistake is (keys and indices), and what the value must be."""
Declared = TypeVar("Declared", bound=Settings)

_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is an unknown key",
    "value_error": "{error}",
    "too_short": "must hold at least {min_length} item",
    "literal_error": "must be {expected}, not {value!r}",
    "int_type": "must be a whole number, not {value!r}",
    "int_from_float": "must be a whole number, not {value!r}",
    "float_type": "must be a number, not {value!r}",
    "bool_type": "must be true or false, not {value!r}",
    "string_type": "must be text, not {value!r}",
    "list_type": "must be a list, not {value!r}",
    "dict_type": "must be a mapping of keys to values, not {value!r}",
    "model_type": "must be a mapping of keys to values, not {value!r}",
    "model_attributes_type": "must be a mapping of keys to values, not {value!r}",
}
"""Pydantic's kinds of errors in words that follow the key; a `number` tells its own."""


def mistakes(model: type[Settings], content: Any, later: str | None = None) -> list[Mistake]:
    """Everything in a section that its declaration does not allow; [] where it is right.

    The value `later` passes anywhere: it stands for one that is still to be given.
    """
    try:
        model.model_validate(content)
    except ValidationError as error:
        items = [item for item in error.errors(include_url=False) if later is None or item["input"] != later]
        return [(item["loc"], _describe(item)) for item in items]
    return []


def _describe(error: ErrorDetails) -> str:
    """One mistake in words that follow the key: "must be true or false, not 3"."""
    if error["type"] in _MESSAGES:
        return _MESSAGES[error["type"]].format(**error.get("ctx", {}), value=error["input"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def validated(model: type[Declared], content: Any, where: str, lines: Lines) -> Declared:
    """Check a file's content, as YAML gives it, against its declaration; `where` names the file in messages.

    Raises:
        RecfaceError: All mistakes in one line, each with its line and key.
    """
    if found := mistakes(model, content):
        texts = [f"line {lines.of(*place)}: " + f"{'.'.join(map(str, place))} {text}".lstrip() for place, text in found]
        raise RecfaceError(f"{where}: {'; '.join(texts)}")
    return model.model_validate(content)


def read_settings(model: type[Declared], path: str | Path) -> Declared:
    """Read a YAML file and check it against its declaration; raises as `read_yaml` and `validated`."""
    content, lines = read_yaml(path)
    return validated(model, content, str(path), lines)
