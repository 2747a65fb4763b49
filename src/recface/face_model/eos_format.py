"""Face models in the binary format of eos (Huber et al., VISAPP 2016), through its own package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.model import FaceModel
from recface.files.atomic import replacing


def to_eos(model: FaceModel, landmarks_only: bool = False, linear_expressions: bool = False) -> Any:
    """The model in the classes of eos: a PCA of identity, whose coefficients are whitened too, and expressions.

    Args:
        model: Any face model.
        landmarks_only: Keep the 68 landmark vertices alone. eos fits landmarks without contours from these rows of the
            bases, so the fit equals that of the whole model at a fraction of the time.
        linear_expressions: Expressions as a linear basis with a prior, of either sign, instead of blendshapes, which
            are non-negative and have no prior.

    Returns:
        An `eos.morphablemodel.MorphableModel`, in mm, without a color model.

    Raises:
        RecfaceError: The package eos-py is not installed.
    """
    kinds, arrays = _eos().morphablemodel, model.arrays()
    rows = model.landmark_rows.cpu().numpy() if landmarks_only else slice(None)
    triangles = [[0, 1, 2]] if landmarks_only else arrays["triangles"].tolist()
    mean, units = arrays["mean"].ravel()[rows], arrays["expression_basis"][rows]
    variance = arrays["identity_sigma"] ** 2
    shape = kinds.PcaModel(mean, np.asfortranarray(arrays["identity_basis"][rows]), variance, triangles)
    if linear_expressions:
        # eos multiplies basis and deviation again, so that coefficient 1 is the unit's full movement.
        length = np.maximum(np.linalg.norm(units, axis=0), 1e-6)
        expressions = kinds.PcaModel(np.zeros_like(mean), np.asfortranarray(units / length), length**2, triangles)
    else:
        expressions = [
            kinds.Blendshape(name, np.ascontiguousarray(field))
            for name, field in zip(model.expression_names, units.T, strict=True)
        ]
    return kinds.MorphableModel(shape, expressions, kinds.PcaModel())


def save_eos(model: FaceModel, path: str | Path) -> Path:
    """Write a face model for eos, which reads it with `eos.morphablemodel.load_model`; return the path.

    Raises:
        RecfaceError: The package eos-py is not installed.
    """
    eos, path = _eos(), Path(path)
    with replacing(path) as file:
        eos.morphablemodel.save_model(to_eos(model), file.name)
    return path


def _eos() -> Any:
    try:
        import eos
    except ImportError:
        raise RecfaceError("the package eos-py is not installed; pip install 'eos-py>=1.5,<2'") from None
    return eos
