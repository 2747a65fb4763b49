"""Read a W&B sweep file, and tell all of its mistakes before the first point starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from recface.errors import RecfaceError
from recface.settings.yaml_lines import Mistake, read_lines
from recface.sweeps.forms import exponent_mistakes, form_mistakes
from recface.sweeps.spec import DEFAULT_COMMAND, SweepSpec
from recface.sweeps.spec_mistakes import has_type, search_mistakes, top_mistakes


def read_sweep(path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None) -> SweepSpec:
    """Read a sweep file.

    Args:
        path: YAML.
        overrides: `key=value`, each in place of the parameter of that name (a leading `+` does not matter), or beside
            the others; `key=a,b` gives it several values.
        run_cap: In place of the file's.

    Returns:
        The sweep, right in form; whether its parameters are any of the program's is `project.check`'s to say.

    Raises:
        RecfaceError: All mistakes of the file, in one line, each with its line in the file.
    """
    spec, mistakes = load_sweep(path, overrides, run_cap)
    refuse(path, mistakes)
    return spec


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), run_cap: int | None = None
) -> tuple[SweepSpec, list[Mistake]]:
    """Read a sweep file as far as it can be read; see `read_sweep`.

    Returns:
        The sweep with those of its parameters that are right in form, and all mistakes of form.

    Raises:
        RecfaceError: The file cannot be read at all, or an override is not of the form key=value.
    """
    path = Path(path)
    try:
        content, lines = read_lines(path.read_text())
    except FileNotFoundError:
        raise RecfaceError(f"{path}: no such sweep file; known are {', '.join(known_sweeps(path))}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RecfaceError(f"{path}: a sweep file holds keys and values, this holds {type(content).__name__}")
    right = {key: value for key, value in content.items() if has_type(key, value)}
    parameters = {str(name): form for name, form in right.get("parameters", {}).items()}
    overridden = set()
    for override in overrides:
        key, values = _parse(override)
        name = next((name for name in parameters if name.lstrip("+") == key.lstrip("+")), key)
        parameters[name] = {"value": values[0]} if len(values) == 1 else {"values": values}
        overridden.add(name)
    spec = SweepSpec(
        name=path.stem,
        program=right.get("program", ""),
        method=right.get("method", ""),
        parameters=parameters,
        command=tuple(str(part) for part in right.get("command") or DEFAULT_COMMAND),
        run_cap=right.get("run_cap") if run_cap is None else run_cap,
        metric=right.get("metric"),
        early_terminate=right.get("early_terminate"),
        lines=lines,
        overridden=frozenset(overridden),
    )
    mistakes = top_mistakes(content, spec) + search_mistakes(spec)
    unusable = set()
    for name, form in parameters.items():
        found = [] if name in overridden else form_mistakes(form)
        mistakes += [spec.mistake(f"parameter {name} {text}", "parameters", name, *place) for place, text in found]
        if found and not set(found) <= set(exponent_mistakes(form) if isinstance(form, dict) else ()):
            unusable.add(name)
    usable = {name: form for name, form in parameters.items() if name not in unusable}
    return replace(spec, parameters=usable), mistakes


def refuse(path: str | Path, mistakes: Sequence[Mistake]) -> None:
    """Raise all mistakes of a file in one line, in the file's order; without any, do nothing."""
    if mistakes:
        ordered = sorted(set(mistakes), key=lambda mistake: (mistake.line or 0, mistake.text))
        raise RecfaceError(f"{path}: {'; '.join(map(str, ordered))}")


def known_sweeps(path: Path) -> list[str]:
    """Sweep files in the folder of a path, for messages."""
    return sorted(str(found) for found in path.parent.glob("*.yaml")) or ["none there"]


def _parse(override: str) -> tuple[str, list[str]]:
    key, separator, value = override.partition("=")
    if not separator or not key or key.startswith("-"):
        raise RecfaceError(f"override {override!r} is not of the form key=value")
    # Hydra's own rule: commas in brackets or quotes belong to the value.
    several = "," in value and not any(character in value for character in "[]{}()'\"")
    return key, value.split(",") if several else [value]
