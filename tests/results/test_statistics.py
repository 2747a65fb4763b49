"""Every replicate against a plain loop over an explicit resample."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.results import statistics
from recface.results.auc import auc, draw_impostors

PEOPLE, PHOTOS, REPLICATES = 7, 4, 25


@pytest.fixture
def generator():
    return np.random.default_rng(3)


@pytest.fixture
def weights():
    return statistics.draw_weights(PEOPLE, REPLICATES, seed=1)


@pytest.fixture
def groups():
    return np.repeat(np.arange(PEOPLE), PHOTOS)


def test_mean_and_error_is_scipys():
    values = [1.0, 2.5, 4.5]
    mean, error = statistics.mean_and_error(values)
    assert mean == pytest.approx(np.mean(values))
    assert error == pytest.approx(scipy.stats.sem(values))
    assert statistics.mean_and_error([2.0]) == (2.0, None)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=6), st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_paired_t_interval_is_scipys(first, second):
    second = second[: len(first)]
    low, high = statistics.paired_t_interval(np.subtract(first, second))
    if np.ptp(np.subtract(first, second)) < 1e-9:
        assert low == pytest.approx(high, abs=1e-6)
        return
    expected = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_one_seed_has_no_interval():
    assert statistics.paired_t_interval([0.3]) is None


def test_draws_are_bootstrap_multiplicities():
    weights = statistics.draw_weights(50, 400, seed=0)
    assert weights.shape == (50, 400)
    assert (weights.sum(0) == 50).all()
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    np.testing.assert_array_equal(weights, statistics.draw_weights(50, 400, seed=0))
    assert (weights != statistics.draw_weights(50, 400, seed=1)).any()


def test_percentile_interval_leaves_out_nan():
    replicates = np.append(np.arange(101.0), np.nan)
    assert statistics.percentile_interval(replicates) == pytest.approx((2.5, 97.5))


def test_over_seeds_is_the_mean_of_the_drawn(generator):
    replicates = generator.normal(size=(3, 10))
    drawn = statistics.draw_weights(3, 10, seed=4)
    for r in range(10):
        picked = np.repeat(replicates[:, r], drawn[:, r].astype(int))
        assert statistics.over_seeds(replicates, drawn)[r] == pytest.approx(picked.mean())


def test_grouped_mean_against_resampling(generator, groups, weights):
    values = generator.normal(size=groups.size)
    values[5] = np.nan
    found = statistics.grouped_mean(values, groups, weights)
    means = np.array([np.nanmean(values[groups == person]) for person in range(PEOPLE)])
    for r in range(REPLICATES):
        assert found[r] == pytest.approx(np.repeat(means, weights[:, r].astype(int)).mean())


def test_auc_against_counting_with_ties(generator, weights):
    genuine = generator.integers(0, 6, size=15).astype(float)
    impostor = generator.integers(2, 9, size=40).astype(float)
    groups = generator.integers(0, PEOPLE, size=15)
    first, second = generator.integers(0, PEOPLE, size=(2, 40))  # some pairs of people twice, in either order
    found = auc(genuine, impostor, groups, draw_impostors(np.stack([first, second], 1), weights), weights)
    for r in range(REPLICATES):
        wins = total = 0.0
        for g, person in zip(genuine, groups, strict=True):
            for i, a, b in zip(impostor, first, second, strict=True):
                weight = weights[person, r] * weights[a, r] * weights[b, r]
                wins += weight * (1.0 if i > g else 0.5 if i == g else 0.0)
                total += weight
        assert found[r] == pytest.approx(wins / total, abs=1e-6)


def test_auc_with_equal_weights_is_scikit_learns(generator):
    from sklearn.metrics import roc_auc_score

    genuine, impostor = generator.normal(0, 1, 50), generator.normal(1, 1, 80)
    pairs = generator.integers(0, 3, size=(80, 2))
    weights = np.ones((3, 1), np.float32)
    found = auc(genuine, impostor, np.arange(50) % 3, draw_impostors(pairs, weights), weights)
    expected = roc_auc_score(np.repeat([0, 1], [50, 80]), np.concatenate([genuine, impostor]))
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_auc_without_genuine_pairs_in_the_draw_is_nan():
    weights = np.array([[0.0], [2.0]], np.float32)
    impostors = draw_impostors(np.array([[0, 1]]), weights)
    found = auc(np.array([1.0]), np.array([2.0]), np.array([0]), impostors, weights)
    assert np.isnan(found[0])


def test_prior_kl_against_resampling(generator, groups, weights):
    parameters = generator.normal(0.3, 1.4, size=(groups.size, 3))
    found = statistics.prior_kl(parameters, groups, weights)
    for r in range(REPLICATES):
        sample = np.repeat(parameters, weights[groups, r].astype(int), axis=0)
        mean, variance = sample.mean(0), sample.var(0)
        assert found[r] == pytest.approx(np.mean(0.5 * (variance + mean**2 - 1 - np.log(variance))))


def test_nmcd_against_loops(generator, groups, weights):
    points = generator.normal(size=(groups.size, 3))
    centres = [points[groups == person].mean(0) for person in range(PEOPLE)]
    found = statistics.nmcd(points, groups, weights)
    for r in range(REPLICATES):
        spread = np.repeat(np.square(points - np.array(centres)[groups]).sum(1), weights[groups, r].astype(int)).mean()
        between = total = 0.0
        for i in range(PEOPLE):
            for j in range(PEOPLE):
                if i != j:
                    weight = weights[i, r] * weights[j, r]
                    between += weight * np.square(centres[i] - centres[j]).sum()
                    total += weight
        assert found[r] == pytest.approx(spread / (between / total))
