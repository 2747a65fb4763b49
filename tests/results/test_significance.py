import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from recface.results import significance, statistics

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


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
    assert significance.holm(p_values) == pytest.approx(closed_test(p_values))


@given(P_VALUES, st.randoms())
def test_holm_does_not_depend_on_the_order(p_values, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    corrected = significance.holm(p_values)
    assert significance.holm([p_values[i] for i in order]) == [corrected[i] for i in order]
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))


def test_holm_of_nothing_and_by_hand():
    assert significance.holm([]) == []
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_smallest_bootstrap_p_and_ties_and_holes():
    assert significance.bootstrap_p(np.ones(1999)) == pytest.approx(2 / 2000)
    assert significance.bootstrap_p(-np.ones(1999)) == pytest.approx(2 / 2000)
    assert significance.bootstrap_p(np.zeros(10)) == 1
    assert significance.bootstrap_p(np.array([1.0, -1.0, np.nan, 2.0, 3.0])) == pytest.approx(2 * 2 / 5)


def test_bootstrap_p_agrees_with_the_interval():
    generator = np.random.default_rng(3)
    for shift in np.linspace(-3, 3, 25):
        replicates = generator.normal(shift, 1, 2000)
        low, high = statistics.percentile_interval(replicates)
        if abs(significance.bootstrap_p(replicates) - 0.05) > 0.005:  # the two round differently
            assert (significance.bootstrap_p(replicates) < 0.05) == (low > 0 or high < 0)


def test_bootstrap_p_is_uniform_under_the_null():
    """Twenty seeds and sixty people, effects of both, and no difference: a share a of the p values is below a."""
    generator = np.random.default_rng(7)
    seeds, people, draws = 20, 60, 400
    p_values = []
    for trial in range(500):
        effects = generator.normal(size=(seeds, 1)) + 2 * generator.normal(size=(1, people))
        values = effects + generator.normal(size=(seeds, people))
        weights = statistics.draw_weights(people, draws, 2 * trial)
        replicates = values @ weights / people
        p_values.append(
            significance.bootstrap_p(
                statistics.over_seeds(replicates, statistics.draw_weights(seeds, draws, 2 * trial + 1))
            )
        )
    for level in (0.05, 0.2, 0.5):
        spread = 3 * np.sqrt(level * (1 - level) / len(p_values))
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=spread + 0.02)


def test_paired_t_p_is_scipys():
    generator = np.random.default_rng(1)
    for count in (2, 3, 8):
        values = generator.normal(0.4, 1, count)
        assert significance.paired_t_p(list(values)) == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue)
    assert significance.paired_t_p([1.0]) is None
    assert significance.paired_t_p([0.0, 0.0]) == 1
    assert significance.paired_t_p([2.0, 2.0, 2.0]) == 0


def test_goodness_turns_values_so_that_more_is_better():
    values = np.array([0.5, 1.5, 3.0])
    assert significance.goodness(values, "higher").tolist() == [0.5, 1.5, 3.0]
    assert significance.goodness(values, "lower").tolist() == [-0.5, -1.5, -3.0]
    assert significance.goodness(values, "", target=1).tolist() == [-0.5, -0.5, -2.0]
    assert significance.goodness(values, "") is None


def test_improvement_against_a_double_loop():
    generator = np.random.default_rng(5)
    row, parent = generator.integers(0, 4, (3, 6)).astype(float), generator.integers(0, 4, (4, 6)).astype(float)
    expected = 0.0
    for mine in row:
        for theirs in parent:
            for a, b in zip(mine, theirs, strict=True):
                expected += (1.0 if a > b else 0.5 if a == b else 0.0) / (3 * 4 * 6)
    assert significance.win_rates(row, parent).mean() == pytest.approx(expected)
    # for one task it is the Mann-Whitney statistic
    u = scipy.stats.mannwhitneyu(row[:, 0], parent[:, 0]).statistic
    assert significance.win_rates(row[:, :1], parent[:, :1]).mean() == pytest.approx(u / 12)


def test_improvement_replicates_against_resampling():
    generator = np.random.default_rng(6)
    row, parent = generator.integers(0, 4, (3, 5)).astype(float), generator.integers(0, 4, (2, 5)).astype(float)
    draws = [statistics.draw_weights(count, 9, count) for count in (3, 2, 5)]
    found = significance.improvement_replicates(significance.win_rates(row, parent), *draws)
    for r in range(9):
        mine, theirs, tasks = (np.repeat(np.arange(len(d)), d[:, r].astype(int)) for d in draws)
        resampled = significance.win_rates(row[np.ix_(mine, tasks)], parent[np.ix_(theirs, tasks)])
        assert found[r] == pytest.approx(resampled.mean())
