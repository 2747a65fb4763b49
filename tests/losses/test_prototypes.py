"""Recognition by distances of shapes, against SciPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import log_softmax

from recface.losses import prototype_loss


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), deviation=st.floats(0.3, 3.0))
def test_it_is_the_cross_entropy_of_gaussian_clusters(seed, deviation):
    generator = np.random.default_rng(seed)
    parameters, centers = generator.normal(size=(6, 5)), generator.normal(size=(4, 5))
    seen, identity = np.array([True, True, False, True]), generator.integers(-1, 4, size=6)
    weight = generator.uniform(size=6)
    logits = -(cdist(parameters, centers) ** 2) / (2 * deviation**2)
    posterior = log_softmax(np.where(seen, logits, -np.inf), axis=1)
    losses = [-w * posterior[i, y] for i, (y, w) in enumerate(zip(identity, weight, strict=True)) if y >= 0 and seen[y]]
    found = prototype_loss(*map(torch.tensor, (parameters, centers, seen, identity, weight)), deviation)
    assert found.item() == pytest.approx(np.mean(losses) if losses else 0.0, rel=1e-6, abs=1e-9)


def test_nobody_known_means_zero_and_no_gradient():
    parameters = torch.randn(3, 4, requires_grad=True)
    unknown, unseen = torch.tensor([-1, -1, -1]), torch.tensor([0, 1, 0])
    for identity, seen in ((unknown, torch.ones(2)), (unseen, torch.zeros(2))):
        loss = prototype_loss(parameters, torch.randn(2, 4), seen.bool(), identity, torch.ones(3), 1.0)
        loss.backward()
        assert loss.item() == 0 and parameters.grad.count_nonzero() == 0


def test_a_photo_that_is_told_already_pulls_no_more():
    centers, seen = torch.tensor([[0.0, 0.0], [30.0, 0.0]]), torch.ones(2, dtype=torch.bool)
    parameters = torch.tensor([[1.0, 2.0]], requires_grad=True)
    prototype_loss(parameters, centers, seen, torch.tensor([0]), torch.ones(1), 1.0).backward()
    assert parameters.grad.abs().max() < 1e-6
