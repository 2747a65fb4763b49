"""Face models in the binary format of eos (Huber et al., VISAPP 2016), through its own package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.model import FaceModel


def to_eos(model: FaceModel) -> Any:
    """The model in the classes of eos: a PCA of identity, whose coefficients are whitened too, and blendshapes.

    Args:
        model: Any face model.

    Returns:
        An `eos.morphablemodel.MorphableModel`, in mm, without a colour model.

    Raises:
        RecfaceError: The package eos-py is not installed.
    """
    eos = _eos()
    kinds, arrays = eos.morphablemodel, model.arrays()
    basis = np.asfortranarray(arrays["identity_basis"])
    triangles = arrays["triangles"].tolist()
    shape = kinds.PcaModel(arrays["mean"].ravel(), basis, arrays["identity_sigma"] ** 2, triangles)
    units = [
        kinds.Blendshape(name, np.ascontiguousarray(field))
        for name, field in zip(model.expression_names, arrays["expression_basis"].T, strict=True)
    ]
    return kinds.MorphableModel(shape, units, kinds.PcaModel())


def save_eos(model: FaceModel, path: str | Path) -> Path:
    """Write a face model for eos, which reads it with `eos.morphablemodel.load_model`.

    Args:
        model: Any face model.
        path: Target file; its folder is created.

    Returns:
        The path written.

    Raises:
        RecfaceError: The package eos-py is not installed.
    """
    eos, path = _eos(), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    eos.morphablemodel.save_model(to_eos(model), str(part))
    os.replace(part, path)
    return path


def _eos() -> Any:
    try:
        import eos
    except ImportError:
        raise RecfaceError("export to eos: the package eos-py is not installed; pip install 'eos-py>=1.5,<2'") from None
    return eos
