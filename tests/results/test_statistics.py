"""Statistics against SciPy, loops, a delete-one jackknife, and simulations whose variance is known."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from recface.results.statistics import (
    BOTH,
    NEITHER,
    PEOPLE,
    SEEDS,
    best_reached,
    compare,
    goodness,
    holm,
    mean_and_error,
    mean_covariance,
    probability_of_improvement,
)


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def test_mean_and_error_are_scipys(generator):
    values = generator.normal(size=7)
    assert mean_and_error(list(values)) == pytest.approx((values.mean(), scipy.stats.sem(values)))
    assert mean_and_error([2.0]) == (2.0, None)


def test_seeds_alone_are_scipys_paired_t(generator):
    for count in (2, 3, 8):
        values = generator.normal(0.4, 1, count)
        expected = scipy.stats.ttest_1samp(values, 0)
        found = compare(list(values))
        assert found.method == SEEDS and found.p == pytest.approx(expected.pvalue)
        interval = expected.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert compare([1.0]).method == NEITHER and compare([1.0]).p is None


def test_seeds_that_agree_are_certain():
    assert compare([0.0, 0.0]).p == 1
    found = compare([2.0, 2.0, 2.0])
    assert (found.low, found.high, found.p) == (2, 2, 0)


def test_one_seed_is_scipys_t_over_people(generator):
    """A mean's influence of a person is the person's value less the mean."""
    values = generator.normal(0.2, 1, 40)
    found = compare([values.mean()], (values - values.mean())[None])
    expected = scipy.stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert found.method == PEOPLE
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_mean_covariance_against_numpy(generator):
    influences = generator.normal(size=(4, 30)) + generator.normal(size=30)
    covariance = np.cov(influences)
    assert mean_covariance(influences) == pytest.approx(covariance[~np.eye(4, dtype=bool)].mean())


def test_variance_components_by_hand(generator):
    people, differences = 25, [0.5, 0.9, 1.3]
    influences = generator.normal(size=(3, people)) + 2 * generator.normal(size=people)
    between = np.var(differences, ddof=1) / 3
    shared = np.cov(influences)[~np.eye(3, dtype=bool)].mean() / people
    # Both are independent and normal, so an interval of Student's t for each adds up in quadrature.
    student = scipy.stats.t(2), scipy.stats.t(people - 1)
    half = np.hypot(student[0].ppf(0.975) * between**0.5, student[1].ppf(0.975) * shared**0.5)
    found = compare(differences, influences)
    assert found.method == BOTH
    assert (found.low, found.high) == pytest.approx((0.9 - half, 0.9 + half))
    # At its p value the interval just reaches zero.
    reached = np.hypot(student[0].isf(found.p / 2) * between**0.5, student[1].isf(found.p / 2) * shared**0.5)
    assert reached == pytest.approx(0.9)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    st.integers(0, 100),
    st.floats(1e-9, 1e9),
)
def test_p_values_say_what_intervals_say(differences, seed, unit):
    influences = unit * np.random.default_rng(seed).normal(size=(len(differences), 30))
    found = compare(differences, influences)
    assert 0 <= found.p <= 1
    if abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_negative_covariance_leaves_the_seeds(generator):
    values = generator.normal(size=20)
    alone, both = compare([0.1, 0.5]), compare([0.1, 0.5], np.stack([values, -values]))
    assert (both.low, both.high, both.p) == pytest.approx((alone.low, alone.high, alone.p))


def metric(points: np.ndarray, weights: np.ndarray) -> float:
    """A metric that is no mean: the ratio of a weighted mean to a weighted standard deviation."""
    mean = weights @ points / weights.sum()
    return float(mean / np.sqrt(weights @ (points - mean) ** 2 / weights.sum()))


def test_variance_from_influences_is_the_delete_one_jackknifes(generator):
    count = 400
    points, ones, step = generator.gamma(3, size=count), np.ones(count), 1e-5
    slopes = [
        (metric(points, ones + step * row) - metric(points, ones - step * row)) / (2 * step) for row in np.eye(count)
    ]
    found = compare([metric(points, ones)], count * np.array(slopes)[None])
    deleted = np.array([metric(np.delete(points, i), ones[1:]) for i in range(count)])
    jackknife = (count - 1) / count * np.square(deleted - deleted.mean()).sum()
    half = scipy.stats.t(count - 1).ppf(0.975) * np.sqrt(jackknife)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize(
    ("seeds", "ratio", "least"),
    [(2, 5.0, 0.03), (3, 0.0, 0.01), (3, 1.0, 0.01), (3, 3.0, 0.02), (5, 3.0, 0.03), (10, 1.0, 0.03)],
)
def test_a_true_null_is_rejected_at_most_at_the_level(seeds, ratio, least):
    """Effects of seeds and people whose variances are known; where these outweigh seeds, few seeds make it cautious."""
    generator, people, trials = np.random.default_rng(11), 60, 1500
    rejected = 0
    for _ in range(trials):
        noise = generator.normal(size=(seeds, people)) + generator.normal(size=people)
        values = noise + ratio / np.sqrt(people) * generator.normal(size=(seeds, 1))
        means = values.mean(axis=1)
        rejected += (compare(means.tolist(), values - means[:, None]).p or 0) < 0.05
    assert least < rejected / trials < 0.06


def test_the_variance_is_unbiased():
    """s^2 / S counts the noise of seeds, Cov what they share: together the variance of the mean over both."""
    generator, seeds, people, trials = np.random.default_rng(12), 4, 50, 2000
    means, estimates = [], []
    for _ in range(trials):
        values = 2 * generator.normal(size=people) + generator.normal(size=(seeds, people))
        values = values + 0.3 * generator.normal(size=(seeds, 1))
        deltas = values.mean(axis=1)
        means.append(deltas.mean())
        estimates.append(deltas.var(ddof=1) / seeds + mean_covariance(values) / people)
    known = 0.3**2 / seeds + 4 / people + 1 / (seeds * people)
    assert np.var(means) == pytest.approx(known, rel=0.1) and np.mean(estimates) == pytest.approx(known, rel=0.03)


def closed_test(p_values: list[float]) -> list[float]:
    """Holm's correction as a closed test: the largest Bonferroni p value of all families that hold the hypothesis."""
    count = len(p_values)
    result = [0.0] * count
    for family in range(1, 2**count):
        members = [i for i in range(count) if family >> i & 1]
        bonferroni = min(1.0, len(members) * min(p_values[i] for i in members))
        for i in members:
            result[i] = max(result[i], bonferroni)
    return result


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_bonferroni_test(p_values):
    assert holm(p_values) == pytest.approx(closed_test(p_values))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_does_not_depend_on_the_order(p_values, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    corrected = holm(p_values)
    assert holm([p_values[i] for i in order]) == [corrected[i] for i in order]
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))


def test_holm_of_nothing_and_by_hand():
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_best_reached_against_a_fine_walk_along_the_line(generator):
    for _ in range(50):
        held, read = generator.normal(size=(2, 5))
        walk = np.linspace(0, 4, 40_001)
        x, y = (np.interp(walk, np.arange(5), values) for values in (held, read))
        level = generator.uniform(held.min(), held.max())
        assert best_reached(held, read, level) == pytest.approx(y[x >= level].max(), abs=1e-3)
        assert best_reached(held, read, held.max() + 0.1) is None
        assert best_reached(held, read, held.min()) == read.max()


def test_goodness_turns_values_so_that_more_is_better():
    values = np.array([0.5, 1.5, 3.0])
    assert goodness(values, "higher").tolist() == [0.5, 1.5, 3.0]
    assert goodness(values, "lower").tolist() == [-0.5, -1.5, -3.0]
    assert goodness(values, "", target=1).tolist() == [-0.5, -0.5, -2.0]
    assert goodness(values, "") is None


def test_improvement_against_a_loop_and_mann_whitney(generator):
    row, parent = generator.integers(0, 4, (3, 6)).astype(float), generator.integers(0, 4, (4, 6)).astype(float)
    wins = [(a > b) + 0.5 * (a == b) for mine in row for theirs in parent for a, b in zip(mine, theirs, strict=True)]
    assert probability_of_improvement(row, parent) == pytest.approx(np.mean(wins))
    assert probability_of_improvement(row + 1e-4 * generator.random((3, 6)), parent, 1e-3) == np.mean(wins)  # rounding
    u = scipy.stats.mannwhitneyu(row[:, 0], parent[:, 0]).statistic
    assert probability_of_improvement(row[:, :1], parent[:, :1]) == pytest.approx(u / 12)
