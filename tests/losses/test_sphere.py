import pytest
import torch

from recface.losses.sphere import on_sphere, sphere_loss


def test_closed_form_and_gradient():
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]], requires_grad=True)
    loss = sphere_loss(x, 2.0)
    assert loss.item() == pytest.approx(((2.5 - 1) ** 2 + (0.5 - 1) ** 2) / 2)
    loss.backward()
    # d/dx (|x| / R - 1)^2 = 2 (|x| / R - 1) x / (|x| R), over two samples
    torch.testing.assert_close(x.grad, torch.tensor([[1.5 * 0.6 / 2, 1.5 * 0.8 / 2], [0.0, -0.25]]))


def test_on_the_sphere_it_is_zero_and_at_the_origin_finite():
    points = on_sphere(torch.randn(5, 7), 3.0)
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 3.0))
    assert sphere_loss(points, 3.0).item() == pytest.approx(0, abs=1e-10)
    zero = torch.zeros(1, 7, requires_grad=True)
    sphere_loss(zero, 3.0).backward()
    assert torch.isfinite(zero.grad).all()
    assert sphere_loss(torch.zeros(0, 7), 3.0).item() == 0
