"""Configurations of this project's runs, from the words of a command line."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.experiment.command_line import CONFIGS, compose_config, known_experiments, message

Config = dict[str, Any]


def compose(arguments: Sequence[str], missing: bool = False) -> Config:
    """A run's configuration from its command line; a `RecfaceError` where Hydra refuses it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return compose_config(*arguments, missing=missing)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecfaceError(message(error)) from None


def quick_config(arguments: Sequence[str]) -> Config:
    """A configuration by its groups and experiment, as Hydra composes it, at a fraction of the time.

    Args:
        arguments: `group=option` and `+experiment=NAME`; nothing else.

    Returns:
        The configuration; keys without a value are "???".
    """
    experiments = [text.partition("=")[2] for text in arguments if text.startswith("+experiment=")]
    others = tuple(text for text in arguments if not text.startswith("+experiment="))
    layers = experiment_layers(experiments[0]) if experiments else []
    if layers is None:
        return compose(arguments, missing=True)
    config = _composed(others)
    for layer in layers:
        config = _merged(config, layer)
    return config


@functools.lru_cache
def _composed(arguments: tuple[str, ...]) -> Config:
    return compose(arguments, missing=True)


def experiment_layers(name: str) -> list[Config] | None:
    """What an experiment and those that it builds on set, the root's first; None where only Hydra can tell."""
    content = yaml.safe_load((CONFIGS / "experiment" / f"{name}.yaml").read_text())
    layers = []
    for parent in content.pop("defaults", []):
        above = experiment_layers(parent) if parent in known_experiments() else None
        if above is None:
            return None
        layers += above
    return [*layers, content]


def _merged(config: Config, layer: Config) -> Config:
    result = dict(config)
    for key, value in layer.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
