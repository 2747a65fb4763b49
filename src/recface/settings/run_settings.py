"""Values of the configuration, checked before anything starts. Imports nothing heavy: sweeps ask for every point.

The values that the groups `sfm` and `sfm_model` can take. Without torch, as they are checked before every start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recface.errors import RecfaceError

SOURCES = ("model", "benchmark", "folder")
EXPRESSIONS = ("model", "learned")
SEPARATED = ("latents", "shapes")
PARTS = ("rates", "weights")  # of the scan stage, as groups

Check = tuple[str, Callable[[Any], bool]]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(words: tuple[str, ...]) -> Check:
    return f"none of {', '.join(words)}", lambda value: value in words


def _list_of(what: str, holds: Callable[[Any], bool]) -> Check:
    return f"no list of {what}", lambda value: isinstance(value, list) and bool(value) and all(map(holds, value))


NOT_NEGATIVE: Check = ("no number of at least 0", lambda value: _is_number(value) and value >= 0)
POSITIVE: Check = ("no number above 0", lambda value: _is_number(value) and value > 0)
COUNT: Check = ("no whole number of at least 1", lambda value: _is_whole(value) and value >= 1)
COUNT_OR_NONE: Check = ("no whole number of at least 1, nor null", lambda value: value is None or COUNT[1](value))
SWITCH: Check = ("neither true nor false", lambda value: isinstance(value, bool))
PATH: Check = ("no path, nor null", lambda value: value is None or isinstance(value, str))

SCAN: dict[str, Check] = {
    "source": _one_of(SOURCES),
    "path": PATH,
    "people": COUNT,
    "scans_each": COUNT,
    "noise_mm": NOT_NEGATIVE,
    "modes": COUNT_OR_NONE,
    "expression": _one_of(EXPRESSIONS),
    "expression_modes": COUNT,
    "sphere": SWITCH,
    "steps": COUNT,
    "batch_size": COUNT,
    "scale": POSITIVE,
    "margin": NOT_NEGATIVE,
}
IMAGES: dict[str, Check] = {
    "separate": _one_of(SEPARATED),
    "radius": POSITIVE,
    "scale": POSITIVE,
    "learn_basis": SWITCH,
    "scans_each_step": COUNT,
}
"""Of stage 2; every other key is a weight or a rate."""
MEASURED: dict[str, Check] = {
    "test_people": COUNT,
    "validation_people": COUNT,
    "samples": COUNT,
    "sizes": _list_of("whole numbers of at least 1", COUNT[1]),
    "strengths": _list_of("numbers above 0", POSITIVE[1]),
}


def check_sfm_settings(sfm: Mapping[str, Any]) -> None:
    """Check the group `sfm`, of both stages.

    Raises:
        RecfaceError: The first value that neither stage can take.
    """
    scan = _group(sfm, "scan", "sfm")
    parts = {name: _group(scan, name, "sfm.scan") for name in PARTS}
    _check({key: value for key, value in scan.items() if key not in PARTS}, SCAN, "sfm.scan")
    for name, part in parts.items():
        _check(part, {}, f"sfm.scan.{name}")
    _check({key: value for key, value in sfm.items() if key != "scan"}, IMAGES, "sfm")


def check_measured_settings(sfm_model: Mapping[str, Any]) -> None:
    """Check the group `sfm_model`: what its table measures.

    Raises:
        RecfaceError: The first value that nothing can be measured with.
    """
    _check(sfm_model, MEASURED, "sfm_model")


def _group(values: Mapping[str, Any], key: str, above: str) -> Mapping[str, Any]:
    if not isinstance(values.get(key), Mapping):
        raise RecfaceError(f"{above}.{key}: {values.get(key)!r} is no group of settings")
    return values[key]


def _check(values: Mapping[str, Any], checks: Mapping[str, Check], group: str) -> None:
    for key, value in values.items():
        what, holds = checks.get(key, NOT_NEGATIVE)
        if not holds(value):
            raise RecfaceError(f"{group}.{key}: {value!r} is {what}")


def check_whole(key: str, value: Any, least: int) -> None:
    """Check a whole number.

    Raises:
        RecfaceError: It is none, or below the least that may be.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RecfaceError(f"{key}: {value!r} is no whole number of at least {least}")


def check_process(config: Mapping[str, Any]) -> None:
    """Check what every program reads: the seed and the number of threads.

    Raises:
        RecfaceError: As `check_whole`.
    """
    check_whole("seed", config["seed"], 0)
    check_whole("trainer.threads", config["trainer"]["threads"], 1)


def check_config(config: Mapping[str, Any], variants: Sequence[str]) -> None:
    """Check values that would fail late or oddly.

    Raises:
        RecfaceError: A key whose value is of the wrong type or out of range.
    """
    if config["variant"] not in variants:
        raise RecfaceError(f"variant: no variant '{config['variant']}'; known are {', '.join(variants)}")
    if config["logger"]["name"] not in ("none", "wandb"):
        raise RecfaceError(f"logger.name: no logger '{config['logger']['name']}'; known are none, wandb")
    check_process(config)
    check_whole("trainer.conflict", config["trainer"]["conflict"], 0)
    for key, value in config["scale"].items():
        if key != "name":
            check_whole(f"scale.{key}", value, 1)
    check_whole("loss.pixel_every", config["loss"]["pixel_every"], 1)
    check_whole("model.grid", config["model"]["grid"], 1)
    weights = {f"{group}.{key}": value for group in ("loss", "sir") for key, value in config.get(group, {}).items()}
    for key, value in weights.items():
        if key != "loss.landmark_mode" and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
            raise RecfaceError(f"{key}: {value!r} is no number of at least 0")
    if "sfm" in config:
        check_sfm_settings(config["sfm"])
