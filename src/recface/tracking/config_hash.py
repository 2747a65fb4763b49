"""The name of a configuration: eight hex digits over everything that changes a run's result."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recface.tracking.record import RENAMED

IGNORED = ("seed", "paths", "logger", "progress", "trainer.validate", "trainer.validate_on", "trainer.conflict")

FIRST_NAMES = {new.split(".")[-1]: old.split(".")[-1] for old, new in RENAMED.items() if new.startswith("config.")}
"""Renamed keys are hashed by their first names, so that finished runs are still found."""

ADDED = {"scale.appearance": "plain"}
"""Keys younger than the first records, and what runs did before: that value is left out, so that these are found."""

# YAML 1.1 reads `1e-3` as a string, Hydra's command line as a number; both mean the same setting.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def without(config: Mapping[str, Any], ignore: Iterable[str]) -> dict[str, Any]:
    """Copy a nested config without some keys; dots reach into sub-mappings (`face_model.path`)."""
    ignored = tuple(ignore)
    copy = {key: value for key, value in config.items() if key not in ignored}
    for key, value in copy.items():
        if isinstance(value, Mapping):
            copy[key] = without(value, [name[len(key) + 1 :] for name in ignored if name.startswith(f"{key}.")])
    return copy


def normalized(value: Any) -> Any:
    """Give equal settings one form: 1.0 becomes 1, `1e-3` in quotes becomes 0.001, tuples become lists."""
    if isinstance(value, Mapping):
        return {str(key): normalized(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalized(item) for item in value]
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    return value


def _first_named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {FIRST_NAMES.get(key, key): _first_named(item) for key, item in value.items()}
    return value


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key in a nested config, None where it is absent."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def config_hash(cfg: Mapping[str, Any], ignore: Iterable[str] = IGNORED) -> str:
    """Eight hex digits of a resolved, plain config; equal settings give equal ones in any order and number notation.

    `ignore` names keys that do not change a run's result; dots reach into sub-mappings.
    """
    usual = [key for key, value in ADDED.items() if lookup(cfg, key) == value]
    settings = _first_named(normalized(without(cfg, (*ignore, *usual))))
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_path(runs: str | Path, experiment: str, digest: str, seed: int) -> Path:
    """Folder of one run: `runs/<experiment>/<hash>/seed=<n>`."""
    return Path(runs) / experiment / digest / f"seed={seed}"
