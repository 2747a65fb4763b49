"""What a launcher needs, checked before Hydra starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from recface.errors import RecfaceError

PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""Launcher to the package that it stands on; the extra `cluster` of pyproject.toml has them all."""
PREFIX = "hydra/launcher="


def check_launcher(arguments: Sequence[str]) -> None:
    """Reject a launcher that cannot work, or that Hydra would pass over in silence.

    Args:
        arguments: The command line without the program's name.

    Raises:
        RecfaceError: Its package is not installed, or it was asked for without `-m`.
    """
    chosen = [argument.removeprefix(PREFIX) for argument in arguments if argument.startswith(PREFIX)]
    for name in chosen:
        package = PACKAGES.get(name)
        if package is None:
            continue
        if importlib.util.find_spec(package) is None:
            raise RecfaceError(
                f"{PREFIX}{name} needs the package {package}, which is not installed: pip install -e '.[cluster]'"
            )
        if not {"-m", "--multirun"} & set(arguments):
            raise RecfaceError(f"{PREFIX}{name} starts several runs: add -m, as in `run.py -m {PREFIX}{name} seed=0,1`")
