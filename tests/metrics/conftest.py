"""A small set of people with photos, true and predicted shapes."""

from types import SimpleNamespace

import pytest
import torch


@pytest.fixture
def people() -> SimpleNamespace:
    """24 people, 5 photos each, 7 modes, 40 masked vertices; predictions half right."""
    random = torch.Generator().manual_seed(3)
    count, photos, modes, vertices = 24, 5, 7, 40
    identity = torch.arange(count).repeat_interleave(photos)[torch.randperm(count * photos, generator=random)] * 3
    shapes = torch.randn(count, modes, generator=random)
    true = shapes[identity // 3]
    predicted = 0.7 * true + 0.5 * torch.randn(len(true), modes, generator=random)
    sigma = torch.linspace(60, 5, modes)
    basis = torch.linalg.qr(torch.randn(3 * vertices, modes, generator=random))[0].reshape(vertices, 3, modes) * sigma
    return SimpleNamespace(
        identity=identity,
        true=true,
        predicted=predicted,
        sigma=sigma,
        basis=basis,
        mean=50 * torch.randn(vertices, 3, generator=random),
        yaw_abs=torch.rand(len(true), generator=random),
        expression_norm=torch.rand(len(true), generator=random),
        index=torch.arange(len(true)),
    )
