"""From W&B's grammar on a command line to Hydra's. Imports nothing heavy."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ADDED = "data.sources."
"""Beginning of the keys that may be added to the configuration: training sources of your own."""

MACHINE = ("paths", "logger")
"""Keys of a re-sent configuration that describe the machine that first worked on the run, not the run."""

# Hydra's own options that take a value after an equals sign; every other --key=value is an override.
_HYDRA = ("cfg", "info", "package", "config-path", "config-name", "config-dir", "experimental-rerun")
_LITERALS = {"None": "null", "True": "true", "False": "false"}
_PLAIN = re.compile(r"[\w./@%*?:-]+( +[\w./@%*?:-]+)*", re.ASCII)
_PATH = re.compile(
    r"face_model\.path|data\.photos|data\.sources\.[^.]+\.path|model\.weights|paths\.(runs|cache)|sfm\.scan\.path"
)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WORDS = {"null", "true", "false", "nan", "inf", "+inf", "-inf"}


def normalize_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Rewrite overrides so that Hydra takes what any of W&B's command templates sends.

    - `--key=value`, `key=value`, `+key=value` and `++key=value` are one; `experiment` always gets its plus sign, except
      in the bare form, which stays the mistake it is.
    - Paths are quoted where Hydra needs it: they may hold any character. With `-m` commas separate several of them,
      unless there is such a file as a whole.
    - `None`, `True` and `False` are spelled as YAML does; nested dicts, as Python prints them, become dotted keys.
    - A resumed sweep run re-sends its whole configuration (`is_resent`): W&B's own keys and those of the machine go.
    - Under `wandb agent` (it sets WANDB_SWEEP_ID) `logger=wandb` is added where no logger is chosen: a sweep whose runs
      do not report would wait for them for ever.

    Hydra's own options, and all other words that set no key, pass untouched.
    """
    in_sweep, resent = bool(environment.get("WANDB_SWEEP_ID")), is_resent(arguments)
    several = not {"-m", "--multirun"}.isdisjoint(arguments)
    result = [text for argument in arguments for text in _normalize(argument, in_sweep, resent, several)]
    if in_sweep and not any(argument.startswith("logger=") for argument in result):
        result.insert(0, "logger=wandb")  # in front: argparse wants all overrides in one row
    return result


def is_resent(arguments: Sequence[str]) -> bool:
    """Whether a whole configuration was sent, as for a resumed sweep run: `name` and `paths` are no sweep's keys."""
    keys = {argument.partition("=")[0].lstrip("-+") for argument in arguments}
    return {"name", "variant", "paths"} <= keys


def is_path(key: str) -> bool:
    """Whether a key's value is the path of a file or a folder."""
    return bool(_PATH.fullmatch(key.lstrip("+")))


def without_repeats(arguments: Sequence[str], base: Mapping[str, Any]) -> list[str]:
    """Drop normalized overrides that say what `base` says anyway, so that the record names the run's own ones alone.

    `base` is the configuration composed from the experiment and the group choices among them.
    """
    flat = dict(_leaves("", base))

    def repeats(argument: str) -> bool:
        key, _, value = argument.partition("=")
        return not key.startswith("-") and key.lstrip("+") in flat and _says(value, flat[key.lstrip("+")])

    return list(dict.fromkeys(argument for argument in arguments if not repeats(argument)))


def own_overrides(overrides: Sequence[str], others: Sequence[str] = MACHINE) -> list[str]:
    """Overrides that make a run what it is, without those of other keys, or of keys below them."""

    def own(key: str) -> bool:
        return not any(f"{key}.".startswith(f"{name}.") for name in others)

    return [text for text in overrides if own(text.partition("=")[0].lstrip("+"))]


def hydra_value(value: Any) -> str:
    """Write a Python value in Hydra's override grammar."""
    if value is None or isinstance(value, bool):
        return _LITERALS[str(value)]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{hydra_value(key)}:{hydra_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(hydra_value, value)) + "]"
    if isinstance(value, str):
        return quoted(value) if value.lower() in _WORDS or _is_number(value) else quoted_if_needed(value)
    return str(value)


def quoted(text: str) -> str:
    """A string in Hydra's single quotes; backslashes count as escapes only before a quote or at the end."""
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"


def unquoted(text: str) -> str:
    """A string without Hydra's quotes, where it has any."""
    if not _QUOTED.fullmatch(text):
        return text
    return re.sub(rf"(\\+)({text[0]}|$)", lambda match: match[1][: len(match[1]) // 2] + match[2], text[1:-1])


def quoted_if_needed(text: str) -> str:
    """A string as it is where Hydra's grammar takes it unquoted."""
    return text if _PLAIN.fullmatch(text) else quoted(text)


def _normalize(argument: str, in_sweep: bool, resent: bool, several: bool) -> Iterator[str]:
    key, equals, value = argument.partition("=")
    name = key.lstrip("-+")
    hyphened = key.startswith("--")
    if not equals or name in _HYDRA or name.startswith("hydra.") or not name or (key[0] == "-" and not hyphened):
        yield argument
        return
    if name.startswith("_wandb") or name == "wandb_version" or (resent and name in MACHINE):
        return  # W&B's notes to itself, and another machine's folders
    plus = key.lstrip("-").count("+")
    if resent and plus and name.startswith(ADDED):
        plus = 2  # the re-sent configuration holds it a second time
    if name == "experiment":
        yield f"{'+' if plus or hyphened else ''}experiment={value}"
        return
    if is_path(name):
        yield f"{_sign(name, plus)}{name}={_path_value(value, several and not in_sweep)}"
        return
    literal = _literal(value)
    if isinstance(literal, dict) and literal:
        for leaf, item in _leaves(name, literal):
            added = leaf.startswith(ADDED)  # perhaps such as the composed configuration has, perhaps one's own
            yield f"{'++' if added else _sign(leaf, plus)}{leaf}={hydra_value(item)}"
        return
    if isinstance(literal, list):
        value = hydra_value(literal)
    elif value in _LITERALS:
        value = _LITERALS[value]
    elif in_sweep and value and value[0] not in "[{'\"$" and "(" not in value:
        value = quoted_if_needed(value)  # every argument is one value, so a comma in it separates nothing
    yield f"{_sign(name, plus)}{name}={value}"


def _path_value(value: str, several: bool) -> str:
    """A path, or several separated by commas, as Hydra reads them."""
    if several and "," in value and not os.path.exists(value):  # a list may be longer than any path
        if re.match(r"(choice|shuffle|sort|tag)\(", value):  # Hydra's own lists
            return value
        parts = re.findall(rf"(?:{_QUOTED.pattern}|[^,])+", value, re.DOTALL)
        return ",".join(_path_value(part.strip(), False) for part in parts)
    if not value or value.lower() == "null" or _QUOTED.fullmatch(value):
        return value
    return _LITERALS[value] if value == "None" else hydra_value(value)


def _sign(name: str, plus: int) -> str:
    """Plus signs of a key: two force it; one, which Hydra refuses for a key that exists, stays where it may add."""
    return "++" if plus > 1 else "+" if plus and name.startswith(ADDED) else ""


def _literal(value: str) -> Any:
    """The dict or list that Python printed; None for anything else, Hydra's own unquoted forms too."""
    with contextlib.suppress(ValueError, SyntaxError):
        found = ast.literal_eval(value) if value[:1] in ("{", "[") else None
        return found if isinstance(found, (dict, list)) else None
    return None


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value


def _says(text: str, value: Any) -> bool:
    """Whether an override's text is a value; W&B writes whole floats as integers."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return text == hydra_value(value) or (number and _is_number(text) and float(text) == value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
