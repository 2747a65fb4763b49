import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from recface.losses import prior_loss, tikhonov_loss


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (2.0, 0.3), (-1.0, 4.0)])
def test_equals_kl_of_torch(mean, spread):
    torch.manual_seed(0)
    parameters = mean + spread * torch.randn(32, 5, dtype=torch.float64)
    batch = Normal(parameters.mean(0), parameters.std(0, correction=0))
    expected = kl_divergence(batch, Normal(torch.zeros_like(batch.loc), torch.ones_like(batch.loc))).mean()
    torch.testing.assert_close(prior_loss(parameters, floor=0.0), expected)
    torch.testing.assert_close(prior_loss(parameters), expected, rtol=1e-2, atol=1e-3)


def test_each_dimension_has_its_own_mean():
    """Means of opposite sign would cancel in one scalar over all entries."""
    torch.manual_seed(0)
    parameters = torch.randn(64, 2)
    parameters = (parameters - parameters.mean(0)) / parameters.std(0, correction=0)
    assert prior_loss(parameters) < 1e-3
    assert prior_loss(parameters + torch.tensor([1.0, -1.0])).item() == pytest.approx(0.5, abs=1e-3)


def test_gradient():
    torch.manual_seed(0)
    parameters = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(prior_loss, parameters)


def test_collapsed_dimension_is_finite_and_revives():
    torch.manual_seed(0)
    identical = torch.ones(8, 3, requires_grad=True)
    loss = prior_loss(identical)
    loss.backward()
    assert loss.isfinite()
    assert identical.grad.isfinite().all()
    narrow = (1e-3 * torch.randn(8, 3)).requires_grad_()
    before = narrow.var(0)
    prior_loss(narrow).backward()
    assert ((narrow - 1e-3 * narrow.grad).var(0) > before).all()


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_exactly_zero(samples):
    parameters = torch.randn(samples, 3, requires_grad=True)
    loss = prior_loss(parameters)
    loss.backward()
    assert loss.item() == 0.0
    assert parameters.grad.count_nonzero() == 0


def test_tikhonov_is_the_mean_square():
    parameters = np.random.default_rng(0).normal(size=(5, 7))
    expected = sum(value**2 for row in parameters for value in row) / 35
    assert tikhonov_loss(torch.tensor(parameters)).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(0, 7), (5, 0)])
def test_tikhonov_of_nothing_is_exactly_zero(shape):
    parameters = torch.zeros(shape, requires_grad=True)
    loss = tikhonov_loss(parameters)
    loss.backward()
    assert loss.item() == 0.0
