import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.losses import Separation, cosface_loss, cosine_similarity


def reference(embedding, weight, identity, scale, margin):
    """CosFace by loops over samples and classes."""
    losses = []
    for a, y in zip(embedding, identity, strict=True):
        if y < 0:
            continue
        cosines = [a @ w / (np.linalg.norm(a) * np.linalg.norm(w)) for w in weight]
        true = np.exp(scale * (cosines[y] - margin))
        others = sum(np.exp(scale * c) for j, c in enumerate(cosines) if j != y)
        losses.append(-np.log(true / (true + others)))
    return np.mean(losses) if losses else 0.0


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**31 - 1),
    scale=st.floats(1, 32),
    margin=st.floats(0, 0.5),
    identity=st.lists(st.integers(-1, 4), min_size=1, max_size=8),
)
def test_equals_the_loop(seed, scale, margin, identity):
    generator = np.random.default_rng(seed)
    embedding = generator.normal(size=(len(identity), 7)) * 5
    weight = generator.normal(size=(5, 7))
    expected = reference(embedding, weight, identity, scale, margin)
    loss = cosface_loss(torch.tensor(embedding), torch.tensor(weight), torch.tensor(identity), scale, margin)
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_gradient():
    torch.manual_seed(0)
    embedding = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    identity = torch.tensor([0, -1, 4, 2])
    assert torch.autograd.gradcheck(lambda a, w: cosface_loss(a, w, identity, 8.0, 0.2), (embedding, weight))


def test_unknown_samples_do_not_touch_class_zero():
    torch.manual_seed(0)
    module = Separation(4, 6)
    embedding = torch.randn(5, 6, requires_grad=True)
    identity = torch.tensor([2, -1, 3, -1, 2])
    module(embedding, identity).backward()
    with_unknown = module.weight.grad.clone()
    assert embedding.grad[identity < 0].count_nonzero() == 0
    assert embedding.grad[identity >= 0].count_nonzero() == 3 * 6
    module.zero_grad()
    module(embedding[identity >= 0], identity[identity >= 0]).backward()
    torch.testing.assert_close(with_unknown, module.weight.grad)


def test_nobody_known_is_exactly_zero_and_in_the_graph():
    module = Separation(4, 6)
    embedding = torch.randn(3, 6, requires_grad=True)
    loss = module(embedding, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0.0
    assert embedding.grad.count_nonzero() == 0
    assert module.weight.grad.count_nonzero() == 0


def test_margin_raises_the_loss_and_scaling_the_shape_does_not_change_it():
    torch.manual_seed(0)
    embedding, weight, identity = torch.randn(6, 5) * 10, torch.randn(3, 5), torch.arange(6) % 3
    plain = cosface_loss(embedding, weight, identity, 16.0, 0.0)
    assert cosface_loss(embedding, weight, identity, 16.0, 0.3) > plain + 1
    torch.testing.assert_close(cosface_loss(embedding * 7, weight * 3, identity, 16.0, 0.0), plain)


def test_mean_face_has_a_finite_gradient():
    embedding = torch.zeros(2, 5, requires_grad=True)
    cosface_loss(embedding, torch.randn(3, 5), torch.tensor([0, 1]), 16.0, 0.2).backward()
    assert embedding.grad.isfinite().all()
    assert cosine_similarity(embedding, torch.randn(3, 5)).abs().max() == 0


def test_float32_under_autocast():
    torch.manual_seed(0)
    embedding, weight, identity = torch.randn(6, 50), torch.randn(30, 50), torch.arange(6)
    expected = reference(embedding.double().numpy(), weight.double().numpy(), identity.tolist(), 32.0, 0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cosface_loss(embedding, weight, identity, 32.0, 0.3)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
