"""Values of the configuration, checked before anything starts. Imports nothing heavy: sweeps ask for every point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recface.errors import RecfaceError
from recface.experiment.sfm_settings import check_sfm_settings


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
