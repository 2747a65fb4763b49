"""Export to eos, read back by eos itself."""

import sys

import numpy as np
import pytest
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.eos_format import read_eos, read_eos_blendshapes, save_eos, to_eos


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


def test_signed_expressions_become_eos_s_linear_ones(tmp_path):
    eos = pytest.importorskip("eos")
    sigma = np.array([0.5, 1.0, 2.0])
    model = FaceModel(**toy_arrays(), expression_sigma=sigma)
    read = eos.morphablemodel.load_model(str(save_eos(model, tmp_path / "toy.bin")))
    identity, deviations = np.random.default_rng(0).normal(size=5), np.array([-1.0, 0.5, 2.0])
    sample = read.draw_sample(identity.tolist(), deviations.tolist(), [])
    given = [torch.from_numpy(x).float()[None] for x in (identity, sigma * deviations)]
    np.testing.assert_allclose(np.array(sample.vertices), model.shape(*given)[0], atol=1e-3)


def test_our_reader_reads_what_eos_wrote(tmp_path):
    eos = pytest.importorskip("eos")
    model = FaceModel(**toy_arrays())
    mean, basis, triangles = read_eos(save_eos(model, tmp_path / "toy.bin"))
    theirs = eos.morphablemodel.load_model(str(tmp_path / "toy.bin")).get_shape_model()
    np.testing.assert_array_equal(mean, theirs.get_mean())
    np.testing.assert_allclose(basis, theirs.get_rescaled_pca_basis(), atol=1e-5)
    np.testing.assert_array_equal(triangles, theirs.get_triangle_list())
    eos.morphablemodel.save_blendshapes(to_eos(model).get_expression_model(), str(tmp_path / "b.bin"))
    names, fields = read_eos_blendshapes(tmp_path / "b.bin")
    assert names == model.expression_names
    np.testing.assert_array_equal(fields, model.expression_basis)


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "eos", None)
    with pytest.raises(RecfaceError, match="eos-py is not installed"):
        to_eos(FaceModel(**toy_arrays()))
