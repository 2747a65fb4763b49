"""The values that the configuration's group `sfm` can take. Without torch, as it is checked before every start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recface.errors import RecfaceError

SOURCES = ("model", "benchmark", "folder")
EXPRESSIONS = ("model", "learned")
SEPARATED = ("latents", "shapes")

Check = tuple[str, Callable[[Any], bool]]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(words: tuple[str, ...]) -> Check:
    return f"none of {', '.join(words)}", lambda value: value in words


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


def check_scan_settings(scan: Mapping[str, Any]) -> None:
    """Check `sfm.scan`, the settings of the scan stage.

    Raises:
        RecfaceError: The first value that the stage cannot take.
    """
    groups = {f"{group}.{key}": value for group in ("rates", "weights") for key, value in scan[group].items()}
    _check({key: value for key, value in scan.items() if key not in ("rates", "weights")} | groups, SCAN, "sfm.scan")


def check_sfm_settings(sfm: Mapping[str, Any]) -> None:
    """Check the whole group `sfm`.

    Raises:
        RecfaceError: The first value that neither stage can take.
    """
    check_scan_settings(sfm["scan"])
    _check({key: value for key, value in sfm.items() if key != "scan"}, IMAGES, "sfm")


def _check(values: Mapping[str, Any], checks: Mapping[str, Check], group: str) -> None:
    for key, value in values.items():
        what, holds = checks.get(key, NOT_NEGATIVE)
        if not holds(value):
            raise RecfaceError(f"{group}.{key}: {value!r} is {what}")
