import re

import numpy as np
import pytest
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel, load, save
from recface.face_model.model import ARRAY_FIELDS, array_checksum
from recface.face_model.npz import SCHEMA


def write(path, **changes):
    content = {**toy_arrays(), **changes}
    np.savez(path, **{field: np.asarray(value) for field, value in content.items() if value is not None})
    return path


def test_round_trip(toy, tmp_path):
    read = load(save(toy, tmp_path / "deep" / "toy.npz"))
    assert read.checksum == toy.checksum
    assert (read.name, read.source, read.licence) == (toy.name, toy.source, toy.licence)
    assert read.expression_names == toy.expression_names
    for field, array in toy.arrays().items():
        np.testing.assert_array_equal(read.arrays()[field], array)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["toy.npz"]  # no temporary file stays


def optional_arrays():
    """Every optional array, of the toy's sizes."""
    random = np.random.default_rng(5)
    return {
        "landmark_vertices": random.integers(0, 140, (68, 3)),
        "landmark_weights": random.dirichlet(np.ones(3), 68),
        "expression_sigma": np.array([0.5, 1.0, 2.0]),
        "own_identity": random.normal(size=(7, 5)),
        "albedo_mean": random.random((140, 3)),
        "albedo_basis": np.linalg.qr(random.normal(size=(420, 4)))[0],
        "albedo_sigma": np.array([3.0, 2.0, 1.0, 0.5]),
    }


def test_optional_fields_round_trip(tmp_path):
    model = FaceModel(**toy_arrays(), **optional_arrays(), mirror_residual=1.25)
    read = load(save(model, tmp_path / "toy.npz"))
    assert read.checksum == model.checksum and read.mirror_residual == 1.25
    for field, array in optional_arrays().items():
        np.testing.assert_allclose(read.arrays()[field], array, atol=1e-6)
    assert "signed expressions, mirror approximate to 1.25 mm" in repr(read)


def test_checksum_is_of_what_shapes_a_face(toy):
    base = array_checksum({field: toy.arrays()[field] for field in ARRAY_FIELDS})  # as before there were others
    extra = optional_arrays()
    assert toy.checksum == base == FaceModel(**toy_arrays(), own_identity=extra.pop("own_identity")).checksum
    for field in ("expression_sigma", "albedo_mean"):
        assert FaceModel(**toy_arrays(), **{field: extra[field]}).checksum != base


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="unknown fields: color"):
        FaceModel(**toy_arrays(), color=np.zeros(3))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("landmark_weights", None, "expected shape (68, 3) of float, found nothing"),
        ("landmark_vertices", np.full((68, 3), 140), "expected indices in 0..139, found 140..140"),
        ("landmark_weights", np.ones((68, 3)), "expected rows that sum to 1 (to 0.001), found an error of 2"),
        ("expression_sigma", np.array([1.0, 0.0, 1.0]), "expected positive values, found 0"),
        ("own_identity", np.zeros((7, 4)), "expected shape (L, K)"),
        ("albedo_sigma", None, "expected shape (A)"),
        ("albedo_sigma", np.arange(1.0, 5.0), "expected positive values in descending order"),
        ("albedo_basis", np.ones((420, 4)), "expected orthonormal columns"),
        ("albedo_mean", np.zeros((9, 3)), "expected shape (V, 3) = (140, 3), found shape (9, 3)"),
    ],
)
def test_wrong_optional_field_says_what_was_expected(field, value, message, tmp_path):
    path = write(tmp_path / "bad.npz", **optional_arrays() | {field: value})
    with pytest.raises(RecfaceError, match=re.escape(message)) as error:
        load(path)
    assert f"field '{field}'" in str(error.value)


def test_failed_save_keeps_the_old_file(toy, tmp_path, monkeypatch):
    path = save(toy, tmp_path / "toy.npz")
    monkeypatch.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(FaceModel(**toy_arrays(seed=1)), path)
    assert load(path).checksum == toy.checksum and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("field", sorted(SCHEMA))
def test_missing_field_is_named(field, tmp_path):
    path = write(tmp_path / "bad.npz", **{field: None})
    with pytest.raises(RecfaceError, match=rf"bad\.npz: field '{field}' expected .*, found nothing; rebuild"):
        load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", np.zeros((140, 2)), "expected shape (V, 3) = (140, 3), found shape (140, 2)"),
        ("mean", np.zeros(420), "expected shape (V, 3), found shape (420,)"),
        ("identity_basis", np.zeros((419, 5)), "expected shape (3V, K) = (420, 5), found shape (419, 5)"),
        ("identity_sigma", np.ones(4), "expected shape (K) = (5,), found shape (4,)"),
        ("landmarks68", np.arange(67), "expected shape (68) = (68,), found shape (67,)"),
        ("triangles", np.zeros((9, 3)), "expected type integer, found type float64"),
        ("expression_names", np.array(["a", "b"]), "expected shape (E) = (3,), found shape (2,)"),
        ("triangles", np.full((9, 3), 140), "expected indices in 0..139, found 140..140"),
        ("mirror", np.roll(np.arange(140), 1), "expected an involution"),
        ("identity_sigma", np.arange(1.0, 6.0), "expected positive values in descending order"),
        ("identity_basis", np.ones((420, 5)), "expected orthonormal columns"),
        ("mean", np.full((140, 3), np.nan), "expected finite numbers"),
    ],
)
def test_wrong_field_says_what_was_expected_and_found(field, value, message, tmp_path):
    path = write(tmp_path / "bad.npz", **{field: value})
    with pytest.raises(RecfaceError, match=re.escape(message)) as error:
        load(path)
    assert f"field '{field}'" in str(error.value) and "\n" not in str(error.value)


def test_missing_or_foreign_file(tmp_path):
    with pytest.raises(RecfaceError, match=r"absent\.npz does not exist: set face_model\.path"):
        load(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(RecfaceError, match="not a readable npz"):
        load(tmp_path / "text.npz")
    (tmp_path / "cut.npz").write_bytes(write(tmp_path / "whole.npz").read_bytes()[:500])
    with pytest.raises(RecfaceError, match="not a readable npz"):
        load(tmp_path / "cut.npz")


def test_pickled_content_is_refused(tmp_path):
    path = write(tmp_path / "bad.npz", name=np.array({"a": 1}, dtype=object))
    with pytest.raises(RecfaceError, match="not a readable npz"):
        load(path)
