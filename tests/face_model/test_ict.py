import numpy as np
import pytest
import torch

from recface.errors import RecfaceError
from recface.face_model import ict as builder
from recface.face_model.linear import export_basis

pytestmark = pytest.mark.data


def test_source_shapes_are_represented_exactly(ict, ict_path):
    source = builder.read_source(ict_path)
    coefficients = np.random.default_rng(0).normal(size=(4, 100))
    offsets = np.tensordot(coefficients, source["identity_cm"], axes=1)
    expected = 10 * (source["neutral_cm"] + offsets)
    expected -= (10 * source["neutral_cm"])[ict.landmarks68.numpy()].mean(axis=0)
    caps = builder.find_caps(10 * source["neutral_cm"], source["triangles"])
    fields = builder.cap_vertices(10 * source["identity_cm"], caps, displacement=True)
    whitened = export_basis(fields.reshape(100, -1).T, coefficients)[2]
    decoded = ict.shape(torch.tensor(whitened, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(decoded[:, : expected.shape[1]], expected, atol=2e-4)


def test_expressions_are_those_of_the_source(ict, ict_path):
    source = builder.read_source(ict_path)
    assert ict.expression_names == source["expression_names"].tolist()
    fields = ict.expression_basis.T.reshape(55, -1, 3).numpy()
    np.testing.assert_allclose(fields[:, : len(source["neutral_cm"])], 10 * source["expression_cm"], atol=1e-4)


def test_only_the_misplaced_landmark_is_moved(ict, ict_path):
    given = builder.read_source(ict_path)["landmarks68"]
    assert np.flatnonzero(ict.landmarks68.numpy() != given).tolist() == [67]
    points = ict.mean[ict.landmarks68]
    assert (points[67] - points[66]).norm() < 15


def test_no_hole_but_the_neck(ict):
    from recface.face_model.ict import boundary_loops

    (rim,) = boundary_loops(ict.triangles.numpy())
    assert ict.mean[torch.tensor(rim)].abs().max() > 100
    assert not ict.face_mask[9409:].any()


def test_foreign_npz_is_refused(tmp_path):
    np.savez(tmp_path / "ict_face.npz", neutral_cm=np.zeros((4, 3)))
    with pytest.raises(RecfaceError, match="lacks triangles, identity_cm"):
        builder.read_source(tmp_path)
    (tmp_path / "ict_face.npz").write_bytes(b"a download that was cut")
    with pytest.raises(RecfaceError, match=r"ict_face\.npz: not a readable npz .*; give face model 'ict' the ict_face"):
        builder.read_source(tmp_path)
