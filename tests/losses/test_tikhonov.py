import numpy as np
import pytest
import torch

from recface.losses import tikhonov_loss


def test_is_the_mean_square():
    parameters = np.random.default_rng(0).normal(size=(5, 7))
    expected = sum(value**2 for row in parameters for value in row) / 35
    assert tikhonov_loss(torch.tensor(parameters)).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(0, 7), (5, 0)])
def test_nothing_is_exactly_zero(shape):
    parameters = torch.zeros(shape, requires_grad=True)
    loss = tikhonov_loss(parameters)
    loss.backward()
    assert loss.item() == 0.0
