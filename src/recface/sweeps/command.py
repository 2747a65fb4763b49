"""The command line of a point, from W&B's own command template."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from recface.errors import RecfaceError
from recface.sweeps.forms import distribution_of
from recface.sweeps.spec import SweepSpec

_ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def expand(spec: SweepSpec, parameters: dict[str, Any]) -> list[str]:
    """Fill in the template as W&B's agent does (`wandb.sdk.launch.sweeps.utils`), but with this Python.

    Args:
        spec: The sweep.
        parameters: Values of the point.

    Returns:
        The command, one argument an item.

    Raises:
        RecfaceError: A macro that is not known.
    """
    flags = [f"{name}={value}" for name, value in parameters.items()]
    macros: dict[str, list[str]] = {
        "env": ["/usr/bin/env"] if os.name != "nt" else [],
        "interpreter": [sys.executable],
        "program": [spec.program],
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
    for part in spec.command:
        part = _ENVIRONMENT.sub(lambda match: os.environ.get(match[1], match[1]), part)
        if not (part.startswith("${") and part.endswith("}")):
            command.append(part)
        elif part[2:-1] in macros:
            command += macros[part[2:-1]]
        else:
            raise RecfaceError(f"sweep {spec.name}: command holds unknown {part}; known are {', '.join(macros)}")
    return command


def dry_run(spec: SweepSpec) -> Iterator[str]:
    """The command of each point; for points that are drawn as the sweep goes, one command with what is drawn from."""
    if spec.method == "grid":
        from recface.sweeps.grid import grid_points

        for point in grid_points(spec):
            yield " ".join(expand(spec, point.parameters))
        return
    yield f"# {spec.run_cap} points, method {spec.method}, each with values drawn from {{...}}:"
    forms = {name: _in_words(form) for name, form in sorted(spec.parameters.items())}
    yield " ".join(expand(spec, forms))


def _in_words(form: dict[str, Any]) -> Any:
    if "value" in form:
        return form["value"]
    if "values" in form:
        return f"{{{', '.join(map(str, form['values']))}}}"
    inner = ", ".join(f"{key} {value}" for key, value in form.items() if key != "distribution")
    return f"{{{distribution_of(form)}: {inner}}}"
