"""The name of a configuration: eight hex digits over everything that changes a run's result."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

IGNORED = ("seed", "paths", "logger", "progress", "trainer.validate", "trainer.conflict")

FIRST_NAMES = {"softmax_scale": "scale", "baselines": "peer"}
"""Renamed keys are hashed by their first names, so that finished runs are still found."""

# YAML 1.1 reads `1e-3` as a string, Hydra's command line as a number; both mean the same setting.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def without(config: Mapping[str, Any], ignore: Iterable[str]) -> dict[str, Any]:
    """Copy a nested config without some keys.

    Args:
        config: Nested plain mapping.
        ignore: Keys to leave out; dots reach into sub-mappings (`face_model.path`).

    Returns:
        A new nested dict; the input is left as it was.
    """
    ignored = tuple(ignore)
    copy: dict[str, Any] = {}
    for key, value in config.items():
        if key in ignored:
            continue
        if isinstance(value, Mapping):
            inner = [name[len(key) + 1 :] for name in ignored if name.startswith(f"{key}.")]
            value = without(value, inner)
        copy[key] = value
    return copy


def normalised(value: Any) -> Any:
    """Give equal settings one form: 1.0 becomes 1, `1e-3` in quotes becomes 0.001, tuples become lists."""
    if isinstance(value, Mapping):
        return {str(key): normalised(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalised(item) for item in value]
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


def config_hash(cfg: Mapping[str, Any], ignore: Iterable[str] = IGNORED) -> str:
    """Hash a resolved config; equal settings give equal hashes whatever their order or number notation.

    Args:
        cfg: The resolved config as a plain nested dict (`OmegaConf.to_container(cfg, resolve=True)`).
        ignore: Keys that do not change what one run is compared by; dotted keys reach deeper.

    Returns:
        Eight hex digits.
    """
    text = json.dumps(
        _first_named(normalised(without(cfg, ignore))), sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_path(runs: str | Path, experiment: str, digest: str, seed: int) -> Path:
    """Folder of one run: `runs/<experiment>/<hash>/seed=<n>`."""
    return Path(runs) / experiment / digest / f"seed={seed}"
