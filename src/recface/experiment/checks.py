"""Values of the configuration, checked before anything starts. Imports nothing heavy: sweeps ask for every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recface.errors import RecfaceError
from recface.experiment.sfm_settings import check_sfm_settings


def check_seed(config: Mapping[str, Any]) -> None:
    """Check the seed.

    Raises:
        RecfaceError: It is no whole number of at least 0.
    """
    if not isinstance(config["seed"], int) or isinstance(config["seed"], bool) or config["seed"] < 0:
        raise RecfaceError(f"seed: {config['seed']!r} is no whole number of at least 0")


def check_config(config: Mapping[str, Any], variants: Sequence[str]) -> None:
    """Check values that would fail late or oddly.

    Raises:
        RecfaceError: A key whose value is of the wrong type or out of range.
    """
    if config["variant"] not in variants:
        raise RecfaceError(f"variant: no variant '{config['variant']}'; known are {', '.join(variants)}")
    if config["logger"]["name"] not in ("none", "wandb"):
        raise RecfaceError(f"logger.name: no logger '{config['logger']['name']}'; known are none, wandb")
    check_seed(config)
    whole = {"trainer.threads": (config["trainer"]["threads"], 1)}
    whole |= {"trainer.conflict": (config["trainer"]["conflict"], 0)}
    whole |= {f"scale.{key}": (value, 1) for key, value in config["scale"].items() if key != "name"}
    whole |= {"loss.pixel_every": (config["loss"]["pixel_every"], 1), "model.grid": (config["model"]["grid"], 1)}
    for key, (value, least) in whole.items():
        if not isinstance(value, int) or value < least:
            raise RecfaceError(f"{key}: {value!r} is no whole number of at least {least}")
    weights = {f"{group}.{key}": value for group in ("loss", "sir") for key, value in config.get(group, {}).items()}
    for key, value in weights.items():
        if key != "loss.landmark_mode" and (not isinstance(value, (int, float)) or not value >= 0):
            raise RecfaceError(f"{key}: {value!r} is no number of at least 0")
    if "sfm" in config:
        check_sfm_settings(config["sfm"])
