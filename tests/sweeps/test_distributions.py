"""W&B's distributions, drawn by Optuna's samplers, against what their names say."""

import math

import numpy as np
import optuna
import pytest
from scipy import stats

from recface.sweeps.distributions import categorical, draws, rounded
from recface.sweeps.forms import DISTRIBUTIONS, form_mistakes

COUNT = 800


def drawn(form):
    assert form_mistakes(form) == []
    fixed, choices = draws({"x": form})
    assert not fixed
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [choices["x"].value(study.ask({"x": choices["x"].distribution}).params["x"]) for _ in range(COUNT)]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"min": 1.0, "max": 3.0}, stats.uniform(1, 2)),
        ({"distribution": "uniform", "min": 1, "max": 3}, stats.uniform(1, 2)),
        ({"distribution": "log_uniform_values", "min": 0.01, "max": 10.0}, stats.loguniform(0.01, 10)),
        ({"distribution": "log_uniform", "min": -2.0, "max": 1.0}, stats.loguniform(math.exp(-2), math.e)),
        ({"distribution": "normal"}, stats.norm(0, 1)),
        ({"distribution": "normal", "mu": 3.0, "sigma": 0.5}, stats.norm(3, 0.5)),
        ({"distribution": "log_normal", "mu": 1.0, "sigma": 0.5}, stats.lognorm(0.5, scale=math.e)),
    ],
)
def test_continuous_ones(form, expected):
    assert stats.kstest(drawn(form), expected.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"min": 2, "max": 4}, {2, 3, 4}),
        ({"distribution": "int_uniform", "min": 0, "max": 1}, {0, 1}),
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.5}, {0.0, 0.5, 1.0}),
        ({"distribution": "q_log_uniform_values", "min": 1.0, "max": 4.0}, {1.0, 2.0, 3.0, 4.0}),
        ({"values": ["a", "b"]}, {"a", "b"}),
        ({"distribution": "categorical", "values": [1, None, 2.5]}, {1, None, 2.5}),
    ],
)
def test_discrete_ones(form, values):
    found = drawn(form)
    assert set(found) == values and {type(value) for value in found} == {type(value) for value in values}


def test_quantised_normal_lies_on_its_grid():
    found = drawn({"distribution": "q_normal", "mu": 0.0, "sigma": 2.0, "q": 0.5})
    assert all(value * 2 == round(value * 2) for value in found) and np.std(found) == pytest.approx(2.0, rel=0.1)


def test_probabilities_are_kept():
    found = drawn({"values": ["a", "b", "c"], "probabilities": [0.7, 0.3, 0.0]})
    assert found.count("a") / COUNT == pytest.approx(0.7, abs=0.05) and "c" not in found


def test_fixed_ones_are_not_drawn():
    forms = {"a": {"value": 1}, "b": {"values": ["x"]}, "c": {"distribution": "constant", "value": None}}
    assert draws(forms) == ({"a": 1, "b": "x", "c": None}, {})


def test_lists_and_equal_looking_values_are_stored_as_text():
    for values in ([[1, 2], [3]], [1, True], [{"a": 1}, {"a": 2}]):
        draw = categorical(values)
        found = [draw.value(choice) for choice in draw.distribution.choices]
        assert found == values and [type(value) for value in found] == [type(value) for value in values]


def test_every_supported_distribution_is_drawn():
    """None is checked as known and then forgotten."""
    full = {"value": 1, "values": [1, 2], "probabilities": [0.5, 0.5], "min": 1, "max": 2}
    for name, needed in DISTRIBUTIONS.items():
        form = {"distribution": name} | {key: full[key] for key in needed}
        assert form_mistakes(form) == []
        fixed, choices = draws({"x": form})
        assert len(fixed) + len(choices) == 1


def test_values_can_be_typed():
    assert rounded(0.123456789) == 0.123457 and rounded(1e-7 / 3) == 3.33333e-08
