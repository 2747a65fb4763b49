"""Free bases: fits against scikit-learn, and the export that changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import Ridge
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel, load, save
from recface.face_model.linear import export_basis, fit_coefficients

BASES = arrays(np.float64, (12, 3), elements=st.floats(-100, 100))
LATENTS = arrays(np.float64, (5, 3), elements=st.floats(-9, 9))


@settings(max_examples=30, deadline=None)
@given(BASES, LATENTS)
def test_export_decodes_alike_and_keeps_norms_and_angles(basis, latents):
    columns, sigma, parameters = export_basis(basis, latents)
    np.testing.assert_allclose((parameters * sigma) @ columns.T, latents @ basis.T, atol=1e-4)
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-9)
    assert (np.diff(sigma) <= 0).all()
    np.testing.assert_allclose(parameters @ parameters.T, latents @ latents.T, atol=1e-6)


def test_export_in_other_coordinates():
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(20, 6)))[0]
    basis, latents = generator.normal(size=(6, 3)), generator.normal(size=(4, 3))
    for left, right in zip(export_basis(basis, latents, axes), export_basis(axes @ basis, latents), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-9)


def test_fits_against_scikit_learn():
    generator = np.random.default_rng(1)
    basis, offsets = generator.normal(size=(30, 4)), generator.normal(size=(5, 30))
    np.testing.assert_allclose(fit_coefficients(offsets, basis), (np.linalg.pinv(basis) @ offsets.T).T, atol=1e-9)
    ridge = Ridge(alpha=2.5, fit_intercept=False).fit(basis, offsets.T).coef_
    np.testing.assert_allclose(fit_coefficients(offsets, basis, np.full(4, 2.5)), ridge, atol=1e-9)
    np.testing.assert_allclose(fit_coefficients(offsets, basis, 2.5 * np.eye(4)), ridge, atol=1e-9)


def test_radius_is_kept_and_checked(tmp_path):
    model = FaceModel(**toy_arrays(), latent_radius=5**0.5)
    read = load(save(model, tmp_path / "sphere.npz"))
    assert read.latent_radius == pytest.approx(5**0.5) and "latent_radius=2.236" in repr(read)
    plain = FaceModel(**toy_arrays())
    assert plain.checksum == read.checksum and load(save(plain, tmp_path / "plain.npz")).latent_radius is None
    with pytest.raises(RecfaceError, match=r"field 'latent_radius' expected sqrt\(K\) = 2\.236 .*found 3"):
        load(save(FaceModel(**toy_arrays(), latent_radius=3.0), tmp_path / "bad.npz"))


@pytest.mark.parametrize("factor", [0.001, 0.1, 1000.0])
def test_units_that_are_plainly_no_millimetres(tmp_path, factor):
    content = toy_arrays()
    path = save(FaceModel(**content | {"mean": content["mean"] * factor}), tmp_path / "unit.npz")
    with pytest.raises(RecfaceError, match="field 'mean' expected millimetres"):
        load(path)
