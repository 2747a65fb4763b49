import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.errors import RecfaceError
from recface.losses import landmark_loss

DISTANCES = {
    "l1": lambda d: abs(d[0]) + abs(d[1]),
    "l2": lambda d: np.hypot(d[0], d[1]),
    "squared": lambda d: d[0] ** 2 + d[1] ** 2,
}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), mode=st.sampled_from(sorted(DISTANCES)), known=st.floats(0, 1))
def test_equals_the_loop(seed, mode, known):
    generator = np.random.default_rng(seed)
    predicted, labeled = generator.normal(size=(3, 68, 3)), generator.normal(size=(3, 68, 2))
    labeled[generator.uniform(size=(3, 68)) > known] = np.nan
    samples = []
    for points, labels in zip(predicted, labeled, strict=True):
        distances = [DISTANCES[mode](p[:2] - q) for p, q in zip(points, labels, strict=True) if np.isfinite(q).all()]
        if distances:
            samples.append(100 * np.mean(distances))
    loss = landmark_loss(torch.tensor(predicted), torch.tensor(labeled), mode)
    assert loss.item() == pytest.approx(np.mean(samples) if samples else 0.0, rel=1e-6)


@pytest.mark.parametrize("mode", DISTANCES)
def test_only_labeled_points_get_a_gradient(mode):
    torch.manual_seed(0)
    predicted = torch.randn(3, 68, 3, requires_grad=True)
    labeled = torch.randn(3, 68, 2)
    labeled[1] = torch.nan
    labeled[0, 10:] = torch.nan
    labeled[2, 0, 1] = torch.nan  # half a point is no point
    landmark_loss(predicted, labeled, mode).backward()
    touched = predicted.grad.abs().sum(-1) > 0
    expected = labeled.isfinite().all(-1)
    assert torch.equal(touched, expected)
    assert predicted.grad[..., 2].count_nonzero() == 0


@pytest.mark.parametrize("mode", DISTANCES)
def test_no_labels_is_exactly_zero(mode):
    predicted = torch.randn(3, 68, 3, requires_grad=True)
    loss = landmark_loss(predicted, torch.full((3, 68, 2), torch.nan), mode)
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad.count_nonzero() == 0


def test_perfect_landmarks_have_a_finite_gradient():
    labeled = torch.randn(2, 68, 2)
    predicted = labeled.clone().requires_grad_()
    landmark_loss(predicted, labeled, "l2").backward()
    assert predicted.grad.isfinite().all()


def test_unit_is_percent_of_half_an_image():
    labeled = torch.zeros(1, 68, 2)
    assert landmark_loss(labeled + torch.tensor([0.03, -0.04]), labeled, "l1").item() == pytest.approx(7.0)
    assert landmark_loss(labeled + torch.tensor([0.03, -0.04]), labeled, "l2").item() == pytest.approx(5.0)


def test_unknown_mode_is_refused():
    with pytest.raises(RecfaceError, match="wing"):
        landmark_loss(torch.zeros(1, 68, 2), torch.zeros(1, 68, 2), "wing")
