"""The values that a sweep gives to configuration keys, and whether the configuration can take them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.settings.compose import CONFIGS, Config
from recface.settings.run_settings import check_config
from recface.sweeps.forms import LISTED, distribution_of, exponent_advice, is_number, is_whole
from recface.sweeps.spec import SweepSpec

MISSING = "???"


def values_with_paths(spec: SweepSpec, name: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every value that a parameter names, its bounds included, and where it is in the file."""
    form, place = spec.parameters[name], ("parameters", name)
    # What comes from the command line is text.
    read = as_hydra if name in spec.overridden else lambda value: value
    listed = [((key,), form[key]) for key in ("value", "min", "max") if key in form]
    listed += [(("values", index), value) for index, value in enumerate(form.get("values", ()))]
    exponents = form.get("distribution") == "log_uniform"  # its bounds are no values, but their logarithms
    for path, value in listed:
        if name in spec.overridden or not (exponent_advice(value) or (exponents and path[0] != "value")):
            yield read(value), (*place, *path)


def draws_fractions(form: Mapping[str, Any]) -> bool:
    """Whether a parameter's values may have fractions whatever its bounds."""
    return not distribution_of(form).startswith("categorical") and distribution_of(form) not in LISTED


def as_hydra(text: str) -> Any:
    """A simple value from the command line as Hydra reads it; unlike in YAML, 1e-5 is a number and `no` is text."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


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
