"""Coefficients as a face model's own files count them, written beside ours."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel
from recface.networks import Coefficients
from recface.run import reconstruct
from recface.run.face_files import Predicted


@pytest.mark.parametrize("known", [True, False])
def test_they_are_written_where_they_are_known(known, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    own = random.normal(size=(7, 5)) if known else None
    model = FaceModel(**toy_arrays(), own_identity=own)
    sizes = {"identity": 5, "expression": 3, "translation": 2}
    found = Coefficients(
        **{name: torch.randn(2, size) for name, size in sizes.items()},
        rotation=torch.eye(3).expand(2, 3, 3),
        scale=torch.ones(2),
        light=torch.zeros(2, 9, 3),
        albedo=torch.zeros(2, 1),
    )
    monkeypatch.setattr(reconstruct, "predict", lambda *_: Predicted(model, None, found))
    monkeypatch.setattr(reconstruct, "reconstruction_picture", lambda *_: np.zeros((4, 4, 3), np.uint8))
    table, images = pd.DataFrame({"file": ["a.png", "b.png"]}), np.zeros((2, 3, 8, 8), np.uint8)
    photos = SimpleNamespace(table=table, images=images, in_pixels=lambda marks: marks)
    reconstruct.reconstruct_photos(None, None, photos, tmp_path / "out")
    path = tmp_path / "out" / "own_coefficients.npz"
    assert path.exists() == known
    if known:
        with np.load(path) as written:
            np.testing.assert_allclose(written["identity"], found.identity.numpy() @ own.T, atol=1e-5)
            np.testing.assert_array_equal(written["expression"], found.expression)
