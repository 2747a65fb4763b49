"""Export to eos, read back by eos itself."""

import sys

import numpy as np
import pytest
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.eos_format import save_eos, to_eos


def test_eos_reads_and_decodes_it_alike(tmp_path):
    eos = pytest.importorskip("eos")
    model = FaceModel(**toy_arrays())
    read = eos.morphablemodel.load_model(str(save_eos(model, tmp_path / "deep" / "toy.bin")))
    generator = np.random.default_rng(0)
    identity, expression = generator.normal(size=5), generator.random(3)
    sample = read.draw_sample(identity.tolist(), expression.tolist(), [])
    given = [torch.from_numpy(x).float()[None] for x in (identity, expression)]
    np.testing.assert_allclose(np.array(sample.vertices), model.shape(*given)[0], atol=1e-3)
    np.testing.assert_array_equal(np.array(sample.tvi), model.triangles)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["toy.bin"]


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "eos", None)
    with pytest.raises(RecfaceError, match="eos-py is not installed"):
        to_eos(FaceModel(**toy_arrays()))
