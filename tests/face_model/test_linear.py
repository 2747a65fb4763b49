"""Alignment, principal components and fits against references, and the export that changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel, load, save
from recface.face_model.linear import (
    align_population,
    export_basis,
    fit_coefficients,
    fix_signs,
    principal_components,
    similarity,
)

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


def test_export_keeps_the_normal_distribution_and_finds_its_principal_axes():
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(6, 40)) * np.arange(1, 7)[:, None]
    basis, sigma, whiten = export_basis(offsets.T, np.eye(6))
    coefficients = rng.normal(size=(9, 6))
    np.testing.assert_allclose((coefficients @ whiten * sigma) @ basis.T, coefficients @ offsets, atol=1e-10)
    np.testing.assert_allclose(whiten.T @ whiten, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(sigma**2, np.linalg.eigvalsh(offsets.T @ offsets)[::-1][:6])


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
def test_units_that_are_plainly_no_millimeters(tmp_path, factor):
    content = toy_arrays()
    path = save(FaceModel(**content | {"mean": content["mean"] * factor}), tmp_path / "unit.npz")
    with pytest.raises(RecfaceError, match="field 'mean' expected millimeters"):
        load(path)


def test_unweighted_pca_equals_scikit_learn():
    shapes = np.random.default_rng(1).normal(size=(30, 8, 3)) * np.arange(1, 4)
    mean, basis, sigma = principal_components(shapes, 5, np.ones(8))
    reference = PCA(5, svd_solver="full").fit(shapes.reshape(30, -1))
    np.testing.assert_allclose(mean.ravel(), reference.mean_, atol=1e-12)
    np.testing.assert_allclose(sigma**2, reference.explained_variance_)
    np.testing.assert_allclose(np.abs((basis * reference.components_.T).sum(axis=0)), 1, atol=1e-9)


def test_weights_choose_the_subspace():
    rng = np.random.default_rng(2)
    shapes = np.zeros((200, 2, 3))
    shapes[:, 0, 0], shapes[:, 1, 0] = rng.normal(0, 1, 200), rng.normal(0, 5, 200)
    loud, quiet = (principal_components(shapes, 1, w)[1].reshape(2, 3) for w in (np.ones(2), np.array([1.0, 1e-3])))
    assert abs(loud[1, 0]) > 0.99 and abs(quiet[0, 0]) > 0.9


def test_signs_do_not_depend_on_rounding_between_mirrored_entries():
    column = np.array([[-1.0], [1.0], [0.2]])
    assert fix_signs(column) == fix_signs(column + [[0.0], [1e-12], [0.0]]) == -1


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), scale=st.floats(0.1, 10))
def test_similarity_recovers_a_known_motion(seed, scale):
    rng = np.random.default_rng(seed)
    source, shift = rng.normal(size=(12, 3)), rng.normal(size=3)
    rotation = Rotation.random(rng=rng).as_matrix()
    found = similarity(source, scale * source @ rotation.T + shift)
    for value, expected in zip(found, (scale, rotation, shift), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-8)


def test_similarity_never_reflects():
    source = np.random.default_rng(3).normal(size=(10, 3))
    assert np.linalg.det(similarity(source, source * (-1, 1, 1))[1]) == pytest.approx(1)


def test_alignment_removes_similarity_and_keeps_the_average_size():
    rng = np.random.default_rng(4)
    template, region = rng.normal(size=(20, 3)), np.arange(20) < 12
    scales = rng.uniform(0.8, 1.2, 6)
    turns = Rotation.from_euler("xyz", rng.normal(0, 0.2, (6, 3))).as_matrix()
    moved = np.stack([s * template @ r.T + rng.normal(size=3) for s, r in zip(scales, turns, strict=True)])
    moved[:, ~region] += rng.normal(size=(6, 8, 3))  # what lies outside the region must not matter
    aligned = align_population(moved, region)[:, region]
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-9)
    centered = template[region] - template[region].mean(axis=0)
    assert np.linalg.norm(aligned[0] - aligned[0].mean(axis=0)) == pytest.approx(
        scales.mean() * np.linalg.norm(centered)
    )
