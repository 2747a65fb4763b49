"""A builder of a face model of a few vertices, to see what becomes of its cache."""

from __future__ import annotations

from pathlib import Path

from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel

VERSION = 1


def sources(path: str | Path | None) -> str:
    """Nothing that it is built from changes."""
    return "toy"


def build(path: str | Path | None) -> FaceModel:
    """The toy model."""
    return FaceModel(**toy_arrays())
