import socket

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.losses import WeightedCenter, center_loss, center_weight


class LoopCenters:
    """The same centers from the whole history: every past sample of a person, with its weight and the batches since."""

    def __init__(self, rate):
        self.rate = rate
        self.history = {}

    def update(self, parameters, identity, weight):
        for y in {i for i, w in zip(identity, weight, strict=True) if i >= 0 and w > 0}:
            aged = [(a, w * (1 - self.rate)) for a, w in self.history.get(y, [])]
            self.history[y] = aged + [(a, w) for a, i, w in zip(parameters, identity, weight, strict=True) if i == y]

    def center(self, y):
        samples = self.history.get(y, [])
        total = sum(w for _, w in samples)
        return sum(a * w for a, w in samples) / total if total > 0 else None


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), rate=st.floats(0.05, 0.9))
def test_centers_are_decayed_weighted_means_of_the_past(seed, rate):
    generator = np.random.default_rng(seed)
    module, loop = WeightedCenter(4, 3, rate), LoopCenters(rate)
    for _ in range(6):
        parameters = generator.normal(size=(5, 3)).astype(np.float32)
        identity = generator.integers(-1, 3, size=5)
        weight = generator.uniform(0, 1, size=5).astype(np.float32) * generator.integers(0, 2, size=5)
        expected = [
            0.5 * np.sum((a - loop.center(y)) ** 2)
            for a, y in zip(parameters, identity, strict=True)
            if y >= 0 and loop.center(y) is not None
        ]
        loss = module(torch.tensor(parameters), torch.tensor(identity), torch.tensor(weight))
        assert loss.item() == pytest.approx(np.mean(expected) if expected else 0.0, rel=1e-4, abs=1e-6)
        loop.update(parameters, identity.tolist(), weight.tolist())
        for y in range(4):
            if loop.center(y) is not None:
                np.testing.assert_allclose(module.centers[y].numpy(), loop.center(y), rtol=1e-4, atol=1e-5)
    assert module.mass[3] == 0
    assert module.centers[3].count_nonzero() == 0


def test_frontal_samples_define_the_center_but_all_are_pulled_alike():
    module = WeightedCenter(1, 2)
    parameters = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    identity = torch.zeros(2, dtype=torch.long)
    module.update(parameters, identity, torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(module.centers, torch.tensor([[0.8, 0.0]]))
    module.eval()
    parameters.requires_grad_()
    module(parameters, identity, torch.tensor([0.9, 0.1])).backward()
    torch.testing.assert_close(parameters.grad, (parameters.detach() - module.centers) / 2)


def test_late_frontal_photo_overrules_a_profile():
    module = WeightedCenter(1, 1, rate=0.1)
    identity = torch.zeros(1, dtype=torch.long)
    module.update(torch.tensor([[5.0]]), identity, torch.tensor([0.01]))
    assert module.centers.item() == pytest.approx(5.0)
    module.update(torch.tensor([[1.0]]), identity, torch.tensor([0.9]))
    assert module.centers.item() == pytest.approx((5 * 0.009 + 0.9) / 0.909, rel=1e-5)


def test_photos_of_weight_zero_never_wear_a_center_out():
    module = WeightedCenter(1, 1, rate=0.5)
    identity = torch.zeros(1, dtype=torch.long)
    module.update(torch.tensor([[2.0]]), identity, torch.tensor([0.5]))
    for _ in range(2000):
        module.update(torch.tensor([[9.0]]), identity, torch.zeros(1))
    module.eval()
    assert module(torch.tensor([[3.0]]), identity, torch.ones(1)).item() == pytest.approx(0.5)


def test_unknown_samples_touch_no_center_and_get_no_gradient():
    torch.manual_seed(0)
    module = WeightedCenter(3, 4)
    identity = torch.tensor([0, 1, 2])
    module.update(torch.randn(3, 4), identity, torch.ones(3))
    before = module.centers.clone(), module.mass.clone()
    parameters = torch.full((2, 4), 9.0, requires_grad=True)
    loss = module(parameters, torch.tensor([-1, -1]), torch.ones(2))
    loss.backward()
    assert loss.item() == 0.0
    assert parameters.grad.count_nonzero() == 0
    assert torch.equal(module.centers, before[0])
    assert torch.equal(module.mass, before[1])


def test_unseen_person_has_no_loss_and_evaluation_changes_nothing():
    module = WeightedCenter(2, 3).eval()
    loss = module(torch.randn(2, 3), torch.tensor([0, 1]), torch.ones(2))
    assert loss.item() == 0.0
    assert module.mass.count_nonzero() == 0


def test_centers_are_no_parameters_and_are_saved():
    module = WeightedCenter(2, 3)
    assert not list(module.parameters())
    assert set(module.state_dict()) == {"centers", "mass"}


def test_center_loss_gradient():
    torch.manual_seed(0)
    parameters = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    centers = torch.randn(2, 3, dtype=torch.float64)
    valid, identity = torch.tensor([True, False, True, True]), torch.tensor([0, -1, 1, 1])
    assert torch.autograd.gradcheck(lambda a: center_loss(a, centers, valid, identity), parameters)


def test_weight_of_photos():
    angles = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.5, -0.2], [0.0, 2.0, 0.0], [0.0, -2.0, 3.0]], requires_grad=True)
    expression = torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.0, 0.0], [0.0, 0.0]])
    weight = center_weight(angles, expression)
    expected = [1.0, np.cos(0.3) * np.cos(0.5) * np.cos(0.2) * np.exp(-1 / 3), 0.0, 0.0]
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)
    assert not weight.requires_grad


def _train_rank(rank, port, batches, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    module = WeightedCenter(3, 2, rate=0.3)
    for parameters, identity, weight in batches:
        half = slice(rank, None, 2)
        module(parameters[half], identity[half], weight[half])
    results[rank] = (module.centers.tolist(), module.mass.tolist())
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one():
    torch.manual_seed(0)
    batches = [(torch.randn(6, 2), torch.randint(-1, 3, (6,)), torch.rand(6)) for _ in range(3)]
    module = WeightedCenter(3, 2, rate=0.3)
    for batch in batches:
        module(*batch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with torch.multiprocessing.Manager() as manager:
        results = manager.dict()
        torch.multiprocessing.spawn(_train_rank, args=(port, batches, results), nprocs=2)
        for rank in range(2):
            torch.testing.assert_close(torch.tensor(results[rank][0]), module.centers)
            torch.testing.assert_close(torch.tensor(results[rank][1]), module.mass)
