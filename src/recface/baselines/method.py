"""What a peer is: it predicts the photos of a source from what it is given, without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from recface.data import Source
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel

Peer = Callable[[Source], dict[str, Tensor]]
"""From N photos to identity (N, K), expression (N, E) and projected landmarks (N, 68, 2), on the CPU in float32."""

METHODS: dict[str, tuple[str, dict[str, type]]] = {
    "mean_face": ("recface.baselines.landmarks", {}),
    "eos": (
        "recface.baselines.eos_fitting",
        {"noise": float, "expression": str, "iterations": int, "identity_weight": float, "expression_weight": float},
    ),
    "fit": (
        "recface.baselines.fit",
        {
            "landmark_steps": int,
            "pixel_steps": int,
            "rate": float,
            "batch": int,
            "landmark": float,
            "pixel": float,
            "tikhonov_identity": float,
            "tikhonov_expression": float,
            "tikhonov_albedo": float,
            "noise": float,
        },
    ),
    "imported": ("recface.baselines.imported", {"folder": str}),
}
"""Method to its module, which has `build(face_model, albedo_model, settings, seed)`, and to its settings' types."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check the configuration's section `peer`.

    Args:
        settings: `method`, and the settings of that method, all of them.

    Raises:
        RecfaceError: An unknown method, a setting missing or unknown, or one of the wrong type or below 0.
    """
    method = settings.get("method")
    if method not in METHODS:
        raise RecfaceError(f"peer.method: no method '{method}'; known are {', '.join(METHODS)}")
    kinds = METHODS[method][1]
    if unknown := sorted(set(settings) - set(kinds) - {"method"}):
        raise RecfaceError(
            f"peer.{unknown[0]}: method {method} has no such setting; it has {', '.join(kinds) or 'none'}"
        )
    for name, kind in kinds.items():
        value = settings.get(name)
        if kind is str:
            continue  # the method knows its own words
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or value < 0:
            what = "whole number" if kind is int else "number"
            raise RecfaceError(f"peer.{name}: {value!r} is no {what} of at least 0")


def build_peer(face_model: FaceModel, albedo_model: AlbedoModel, settings: Mapping[str, Any], seed: int = 0) -> Peer:
    """Make a peer from its settings.

    Args:
        face_model: The 3DMM that it fits.
        albedo_model: Linear albedos, for methods that render.
        settings: As `check_settings` takes them.
        seed: Of what the method draws, such as the noise of its landmarks.

    Returns:
        The peer.

    Raises:
        RecfaceError: As `check_settings`, or a package that is not installed.
    """
    check_settings(settings)
    return import_module(METHODS[settings["method"]][0]).build(face_model, albedo_model, settings, seed)
