"""Face models in the binary format of eos (Huber et al., VISAPP 2016): written by its own package, read without it.

Its reader in C++ believes every size in a file, and there is no wheel of it for every Python.
"""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from recface.errors import RecfaceError
from recface.face_model.model import FaceModel
from recface.files.atomic import replacing
from recface.files.guard import guarded

LARGEST_BYTES = 1_000_000_000


def to_eos(model: FaceModel, landmarks_only: bool = False, linear_expressions: bool = False) -> Any:
    """The model in the classes of eos: a PCA of identity, whose coefficients are whitened too, and expressions.

    Args:
        model: Any face model.
        landmarks_only: Keep the 68 landmark vertices alone. eos fits landmarks without contours from these rows of the
            bases, so the fit equals that of the whole model at a fraction of the time.
        linear_expressions: Expressions as a linear basis with a prior, of either sign, instead of blendshapes, which
            are non-negative and have no prior. Signed expressions always are.

    Returns:
        An `eos.morphablemodel.MorphableModel`, in mm, without a color model.

    Raises:
        RecfaceError: The package eos-py is not installed.
    """
    kinds, arrays = _eos().morphablemodel, model.arrays()

    def rows(field: Tensor) -> np.ndarray:
        return (model.at_landmarks(field) if landmarks_only else field).cpu().numpy()

    mean, units = rows(model.mean.view(-1, 1)).ravel(), rows(model.expression_basis)
    triangles = [[0, 1, 2]] if landmarks_only else arrays["triangles"].tolist()
    variance = arrays["identity_sigma"] ** 2
    shape = kinds.PcaModel(mean, np.asfortranarray(rows(model.identity_basis)), variance, triangles)
    if linear_expressions or model.expression_sigma is not None:
        # eos multiplies basis and deviation again, so that coefficient 1 is the movement of one standard deviation.
        units = units * arrays.get("expression_sigma", 1.0)
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


def read_eos(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shape model of a file of eos 1.x.

    Returns:
        Mean (3V,), basis (3V, K) per standard deviation, in float64, and triangles (F, 3).

    Raises:
        RecfaceError: The file is missing or damaged.
    """
    with guarded(path, "model of eos", "download it again", LARGEST_BYTES):
        stream = io.BytesIO(path.read_bytes())
        (version,) = _take(stream, "<I")
        if not version < 100:
            raise ValueError("no version of eos's format at its beginning")
        mean, basis, variance = (_matrix(stream) for _ in range(3))
        triangles = _numbers(stream, "<i4", (*_take(stream, "<Q"), 3))
        return mean.ravel(), basis * np.sqrt(variance.ravel().clip(0)), triangles.astype(np.int64)


def read_eos_blendshapes(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and displacements (3V, E) of eos's blendshapes.

    Raises:
        RecfaceError: The file is missing or damaged, or holds none.
    """
    with guarded(path, "file of eos's blendshapes", "download it again", LARGEST_BYTES):
        stream, names, columns = io.BytesIO(path.read_bytes()), [], []
        (count,) = _take(stream, "<Q")
        for _ in range(count):
            names.append(_numbers(stream, "u1", _take(stream, "<Q")).tobytes().decode())
            columns.append(_matrix(stream).ravel())
        return names, np.stack(columns, axis=1)


def _matrix(stream: io.BytesIO) -> np.ndarray:
    """Rows, columns, and numbers by columns."""
    rows, columns = _take(stream, "<ii")
    return _numbers(stream, "<f4", (columns, rows)).T.astype(np.float64)


def _numbers(stream: io.BytesIO, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    dtype = np.dtype(kind)
    if min(shape) < 0 or (size := math.prod(shape) * dtype.itemsize) > len(stream.getbuffer()) - stream.tell():
        raise ValueError(f"no room for {shape} numbers: it was cut, or is of another version")
    return np.frombuffer(stream.read(size), dtype).reshape(shape)


def _take(stream: io.BytesIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _eos() -> Any:
    try:
        import eos
    except ImportError:
        raise RecfaceError("the package eos-py is not installed; pip install 'eos-py>=1.5,<2'") from None
    return eos
