import pytest
import torch
from torch import nn
from torch.nn import functional

from recface.variants.optimizer import MuonAdamW, build_optimizer

SETTINGS = {"name": "muon", "beta2": 0.99, "weight_decay": 0.0}


class Toy(nn.Module):
    """A variant in small: convolutions inside the encoders, and parameters elsewhere."""

    def __init__(self, memory_format=torch.contiguous_format):
        super().__init__()
        torch.manual_seed(0)
        self.encoders = nn.ModuleDict({"inner": nn.Conv2d(6, 8, 3, bias=False), "head": nn.Linear(8, 2)})
        self.confidence = nn.Conv2d(6, 2, 3)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.to(memory_format=memory_format)

    def loss(self, step):
        image = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(step))
        pooled = self.encoders["inner"](image).relu().mean((2, 3))
        return self.encoders["head"](pooled).square().mean() + self.confidence(image).square().mean()


def train(toy, optimizer, steps, schedule=None):
    for step in steps:
        optimizer.zero_grad()
        toy.loss(step).backward()
        optimizer.step()
        if schedule:
            schedule.step()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_move_along_the_polar_factor_of_their_gradient(memory_format):
    toy = Toy(memory_format)
    weight, optimizer = toy.encoders["inner"].weight, build_optimizer(toy, SETTINGS, rate=0.1)
    before = weight.detach().clone()
    train(toy, optimizer, [0])
    update = (before - weight.detach()).flatten(1)
    u, _, v = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    assert functional.cosine_similarity(update.flatten(), (u @ v).flatten(), dim=0) > 0.97
    # The size of AdamW's first steps: 0.2 of the rate, root mean square (Liu et al., arXiv 2502.16982).
    assert update.square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.3)


def test_the_rest_is_trained_by_adamw():
    toy, reference = Toy(), Toy()
    train(toy, build_optimizer(toy, SETTINGS, rate=0.01), [0])
    adamw = torch.optim.AdamW(reference.parameters(), 0.01, (0.9, 0.99), weight_decay=0.0)
    train(reference, adamw, [0])
    inner = "encoders.inner.weight"
    expected, result = dict(reference.named_parameters()), dict(toy.named_parameters())
    for name in expected:
        assert torch.allclose(result[name], expected[name], atol=1e-7) == (name != inner), name


def test_adamw_alone_is_torch_s():
    toy, reference = Toy(), Toy()
    train(toy, build_optimizer(toy, SETTINGS | {"name": "adamw"}, rate=0.01), range(3))
    train(reference, torch.optim.AdamW(reference.parameters(), 0.01, (0.9, 0.99), weight_decay=0.0), range(3))
    for result, expected in zip(toy.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(result, expected, atol=1e-7, rtol=0)


def test_a_restored_optimizer_continues_as_if_never_stopped():
    def prepare(toy):
        optimizer = build_optimizer(toy, SETTINGS, rate=0.02)
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=9, cycle_momentum=False)

    whole, stopped, resumed = Toy(), Toy(), Toy()
    train(whole, *(lambda o, s: (o, range(8), s))(*prepare(whole)))
    optimizer, schedule = prepare(stopped)
    train(stopped, optimizer, range(4), schedule)
    resumed.load_state_dict(stopped.state_dict())
    again, schedule_again = prepare(resumed)
    again.load_state_dict(optimizer.state_dict())
    schedule_again.load_state_dict(schedule.state_dict())
    train(resumed, again, range(4, 8), schedule_again)
    for result, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(result, expected)


def test_the_schedule_reaches_both_parts():
    toy = Toy()
    optimizer = build_optimizer(toy, SETTINGS, rate=0.02)
    assert isinstance(optimizer, MuonAdamW)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = [parameter.detach().clone() for parameter in toy.parameters()]
    train(toy, optimizer, [0, 1], schedule)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]
    assert all(torch.equal(a, b) for a, b in zip(before, toy.parameters(), strict=True))


def test_no_gradient_is_left_behind():
    toy = Toy()
    optimizer = build_optimizer(toy, SETTINGS, rate=0.02)
    train(toy, optimizer, [0])
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in toy.parameters())
