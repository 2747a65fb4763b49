import numpy as np
import pytest
import torch
from torch.distributions import Laplace

from recface.losses import pixel_loss


def photos(seed=0, batch=3, size=6):
    torch.manual_seed(seed)
    mask = torch.rand(batch, 1, size, size) > 0.4
    mask[1] = False
    return (
        torch.rand(batch, 3, size, size),
        torch.rand(batch, 3, size, size),
        mask,
        0.05 + torch.rand(batch, 1, size, size),
    )


def test_equals_the_laplace_density():
    """Up to the constant log sqrt 2: the scale b of a Laplace density with standard deviation s is s / sqrt 2."""
    rendered, image, mask, sigma = photos()
    log_density = Laplace(rendered, sigma / np.sqrt(2)).log_prob(image)
    expected = [(-log_density[i] - 0.5 * np.log(2)).mean(0)[mask[i, 0]].mean() for i in (0, 2)]
    loss = pixel_loss(rendered, image, mask, sigma, smallest=0.0)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_without_confidence_it_is_the_mean_absolute_difference():
    rendered, image, mask, _ = photos()
    expected = [np.abs((rendered - image).numpy()[i]).mean(0)[mask[i, 0].numpy()].mean() for i in (0, 2)]
    assert pixel_loss(rendered, image, mask).item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_gradient_stays_on_the_face():
    rendered, image, mask, sigma = photos()
    rendered.requires_grad_()
    sigma.requires_grad_()
    pixel_loss(rendered, image, mask, sigma).backward()
    assert torch.equal(rendered.grad.abs().sum(1, keepdim=True) > 0, mask)
    assert torch.equal(sigma.grad != 0, mask)


def test_no_face_is_exactly_zero_even_where_the_rendering_is_undefined():
    rendered = torch.full((2, 3, 4, 4), torch.nan, requires_grad=True)
    sigma = torch.ones(2, 1, 4, 4, requires_grad=True)
    loss = pixel_loss(rendered, torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool), sigma)
    loss.backward()
    assert loss.item() == 0.0
    assert rendered.grad.count_nonzero() == 0
    assert sigma.grad.count_nonzero() == 0


def test_best_scale_is_sqrt2_times_the_residual():
    image, mask = torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    rendered = torch.full_like(image, 0.2)
    sigma = torch.full((1, 1, 2, 2), 0.2 * np.sqrt(2) - 0.01, requires_grad=True)
    pixel_loss(rendered, image, mask, sigma, smallest=0.01).backward()
    assert sigma.grad.abs().max() < 1e-6


def test_each_photo_counts_the_same():
    image, rendered = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    rendered[1] = 1.0
    mask = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    mask[1, :, 1:] = False
    assert pixel_loss(rendered, image, mask).item() == pytest.approx(0.5)
