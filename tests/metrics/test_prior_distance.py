"""Prior distance against torch.distributions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from recface.errors import RecfaceError
from recface.metrics import warn_collapse
from recface.metrics.functional import parameter_energy, prior_kl


@given(seed=st.integers(0, 99), scale=st.floats(0.1, 5), shift=st.floats(-3, 3))
@settings(deadline=None, max_examples=25)
def test_kl_matches_torch_distributions(seed, scale, shift) -> None:
    random = torch.Generator().manual_seed(seed)
    parameters = shift + scale * torch.randn(30, 6, generator=random, dtype=torch.float64)
    fitted = Normal(parameters.mean(0), parameters.std(0, correction=0))
    standard = Normal(torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64))
    assert prior_kl(parameters) == pytest.approx(float(kl_divergence(fitted, standard).mean()), rel=1e-9, abs=1e-12)


def test_energy_matches_a_loop(people) -> None:
    expected = sum(float(row @ row) for row in people.predicted) / people.predicted.numel()
    assert parameter_energy(people.predicted) == pytest.approx(expected, rel=1e-5)


def test_collapse_stays_finite_and_warns() -> None:
    mean_face = torch.zeros(5, 3)
    assert math.isfinite(prior_kl(mean_face)) and prior_kl(mean_face) > 10
    message = warn_collapse(parameter_energy(mean_face), "shapes of run x")
    assert message is not None and message.startswith("shapes of run x have collapsed") and "\n" not in message
    assert warn_collapse(0.0999) is not None
    assert warn_collapse(0.1) is None


def test_mistakes_are_named() -> None:
    with pytest.raises(RecfaceError, match="two samples"):
        prior_kl(torch.zeros(1, 3))
    with pytest.raises(RecfaceError, match="row 2 of 4"):
        prior_kl(torch.tensor([[0.0], [1.0], [float("nan")], [2.0]]))
