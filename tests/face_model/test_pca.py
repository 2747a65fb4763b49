import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from sklearn.decomposition import PCA

from recface.face_model.linear import align_population, fix_signs, orthogonalise, principal_components, similarity


def test_orthogonalise_is_exact_and_keeps_the_normal_distribution():
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(6, 40)) * np.arange(1, 7)[:, None]
    basis, sigma, whiten = orthogonalise(offsets)
    coefficients = rng.normal(size=(9, 6))
    np.testing.assert_allclose((whiten(coefficients) * sigma) @ basis.T, coefficients @ offsets, atol=1e-10)
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(whiten.matrix @ whiten.matrix.T, np.eye(6), atol=1e-12)
    variances = np.linalg.eigvalsh(offsets.T @ offsets)[::-1][:6]
    np.testing.assert_allclose(sigma**2, variances)


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
