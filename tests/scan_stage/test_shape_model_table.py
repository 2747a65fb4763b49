"""Generalisation, compactness and specificity against scikit-learn and brute force."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from recface.errors import RecfaceError
from recface.scan_stage.shape_model_table import (
    compactness,
    generalisation,
    nested_axes,
    specificity,
    vertex_distance,
)


@pytest.fixture
def shapes():
    generator = np.random.default_rng(0)
    return generator.normal(size=(20, 6)) @ generator.normal(size=(6, 15)) + 0.1 * generator.normal(size=(20, 15))


def test_compactness_is_scikit_learns_ratio_for_pca(shapes):
    pca = PCA().fit(shapes)
    axes, offsets = nested_axes(pca.components_[:5].T), shapes - pca.mean_
    shares, left = compactness([offsets[:7], offsets[7:]], axes, [1, 3, 5])
    np.testing.assert_allclose(list(shares.values()), np.cumsum(pca.explained_variance_ratio_)[[0, 2, 4]])
    assert left == pytest.approx(((offsets - offsets @ axes @ axes.T) ** 2).mean())


def test_generalisation_is_least_squares_with_the_first_modes(shapes):
    generator = np.random.default_rng(1)
    basis, truth = generator.normal(size=(15, 4)), shapes + 0.3
    found = generalisation(shapes, nested_axes(basis), [1, 2, 4])
    against = generalisation(shapes, nested_axes(basis), [2], truth)
    for size, value in found.items():
        fit = np.linalg.lstsq(basis[:, :size], shapes.T, rcond=None)[0].T @ basis[:, :size].T
        assert value == pytest.approx(np.linalg.norm((fit - shapes).reshape(20, 5, 3), axis=2).mean())
        if size == 2:
            assert against[2] == pytest.approx(np.linalg.norm((fit - truth).reshape(20, 5, 3), axis=2).mean())
    with pytest.raises(RecfaceError, match="with 5 modes: the model has 4"):
        generalisation(shapes, nested_axes(basis), [5])


def test_dependent_or_broken_modes_are_refused():
    basis = np.random.default_rng(2).normal(size=(15, 3))
    with pytest.raises(RecfaceError, match="linearly dependent"):
        nested_axes(np.concatenate([basis, basis[:, :1]], axis=1))
    with pytest.raises(RecfaceError, match="not finite"):
        nested_axes(basis * np.nan)


def test_specificity_is_the_distance_to_the_nearest_scan(shapes):
    samples = np.random.default_rng(3).normal(size=(6, 15))
    rms = np.linalg.norm(samples[:, None] - shapes[None], axis=2)
    expected = np.mean([vertex_distance(s, shapes[i]) for s, i in zip(samples, rms.argmin(axis=1), strict=True)])
    assert specificity(samples, [shapes[:3], shapes[3:]]) == pytest.approx(expected)
    assert specificity(shapes[4:6], [shapes]) == pytest.approx(0, abs=1e-12)
