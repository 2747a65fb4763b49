"""The variants, one module each, so that two can be compared by eye.

A new variant is one file here, with one class derived from `Reconstruction`, and one experiment that names it. Outside
of the package it is `variant: package.module:Class`, with the module's folder in PYTHONPATH and the experiment in a
folder of configurations of your own, which RECFACE_CONFIGS names.
"""

from __future__ import annotations

from importlib import import_module

import torch

from recface.data.workbench import Workbench
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.variants.reconstruction import Reconstructed, Reconstruction

__all__ = ["Reconstructed", "Reconstruction", "build_variant", "variant_class"]


def variant_class(name: str) -> type[Reconstruction]:
    """The class that a configuration's `variant` names: a module of this package, or `package.module:Class`.

    Raises:
        RecfaceError: It cannot be imported, or holds no such class.
    """
    place, _, wanted = name.partition(":")
    try:
        module = import_module(place if wanted else f"{__name__}.{place}")
    except ImportError as error:
        raise RecfaceError(f"variant: {name} cannot be imported: {error}") from None
    found = [
        item
        for key, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, Reconstruction) and item.__module__ == module.__name__
        if wanted in ("", key)
    ]
    if len(found) != 1:
        raise RecfaceError(f"variant: {name} must hold one class derived from Reconstruction, not {len(found)}")
    return found[0]


def build_variant(bench: Workbench, stage: int, face_model: FaceModel | None = None) -> Reconstruction:
    """Build the network of a stage, with the weights that the seed draws; stage 1 is the baseline's for every variant.

    `face_model` is the model to decode with, where it is not the benchmark's own.
    """
    variant = variant_class("baseline" if stage == 1 else bench.config["variant"])
    torch.manual_seed(bench.config["seed"])
    model = face_model or bench.face_model
    return variant(bench.config, model, bench.albedo_model, bench.num_identities, stage=stage)
