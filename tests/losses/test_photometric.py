import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Laplace
from torch.nn import functional

from recface.losses import feature_loss, perceptual_loss, pixel_loss
from recface.losses.photometric import SMALLEST_SCALE


def pixel_photos(seed=0, batch=3, size=6):
    torch.manual_seed(seed)
    mask = torch.rand(batch, 1, size, size) > 0.4
    mask[1] = False
    return (
        torch.rand(batch, 3, size, size),
        torch.rand(batch, 3, size, size),
        mask,
        0.05 + torch.rand(batch, 1, size, size),
    )


def test_pixels_equal_the_laplace_density():
    """Up to the constant log sqrt 2: the scale b of a Laplace density with standard deviation s is s / sqrt 2."""
    rendered, image, mask, sigma = pixel_photos()
    log_density = Laplace(rendered, sigma / np.sqrt(2)).log_prob(image)
    expected = [(-log_density[i] - 0.5 * np.log(2)).mean(0)[mask[i, 0]].mean() for i in (0, 2)]
    loss = pixel_loss(rendered, image, mask, sigma, smallest=0.0)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_pixels_without_confidence_are_the_mean_absolute_difference():
    rendered, image, mask, _ = pixel_photos()
    expected = [np.abs((rendered - image).numpy()[i]).mean(0)[mask[i, 0].numpy()].mean() for i in (0, 2)]
    assert pixel_loss(rendered, image, mask).item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_pixel_gradient_stays_on_the_face():
    rendered, image, mask, sigma = pixel_photos()
    rendered.requires_grad_()
    sigma.requires_grad_()
    pixel_loss(rendered, image, mask, sigma).backward()
    assert torch.equal(rendered.grad.abs().sum(1, keepdim=True) > 0, mask)
    assert torch.equal(sigma.grad != 0, mask)


def test_pixels_of_no_face_are_exactly_zero_even_where_the_rendering_is_undefined():
    rendered = torch.full((2, 3, 4, 4), torch.nan, requires_grad=True)
    sigma = torch.ones(2, 1, 4, 4, requires_grad=True)
    loss = pixel_loss(rendered, torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool), sigma)
    loss.backward()
    assert loss.item() == 0.0
    assert rendered.grad.count_nonzero() == 0
    assert sigma.grad.count_nonzero() == 0


def test_best_pixel_scale_is_sqrt2_times_the_residual():
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


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Tanh()).eval().requires_grad_(False)


def feature_photos():
    torch.manual_seed(1)
    mask = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    mask[0, :, 4:8, 4:12] = True
    mask[2] = True
    return torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16), mask


def test_features_equal_the_loop_over_covered_cells(network):
    rendered, image, mask = feature_photos()
    composite = torch.where(mask, rendered, image)
    ours, theirs = network(composite).numpy(), network(image).numpy()
    samples = []
    for i in (0, 2):
        distances = []
        for y in range(4):
            for x in range(4):
                if mask[i, 0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].any():
                    a, b = ours[i, :, y, x], theirs[i, :, y, x]
                    distances.append(2 - 2 * a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        samples.append(np.mean(distances))
    assert perceptual_loss(network, rendered, image, mask).item() == pytest.approx(np.mean(samples), rel=1e-4)


def test_feature_confidence_is_the_scale_of_normal_noise(network):
    rendered, image, mask = feature_photos()
    mask[:] = True
    sigma = 0.2 + torch.rand(3, 1, 4, 4)
    distance = (functional.normalize(network(rendered)) - functional.normalize(network(image))).square().sum(1)
    scale = sigma[:, 0] + SMALLEST_SCALE
    expected = (distance / (2 * scale**2) + scale.log()).mean()
    torch.testing.assert_close(perceptual_loss(network, rendered, image, mask, sigma), expected)


def test_feature_gradient_reaches_the_rendered_face_only(network):
    rendered, image, mask = feature_photos()
    rendered.requires_grad_()
    image.requires_grad_()
    perceptual_loss(network, rendered, image.detach(), mask).backward()
    assert torch.equal(rendered.grad.abs().sum(1, keepdim=True) > 0, mask)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_equal_images_are_zero_and_no_face_is_exactly_zero(network):
    rendered, image, mask = feature_photos()
    assert perceptual_loss(network, image, image, mask).item() == 0.0
    rendered.requires_grad_()
    loss = perceptual_loss(network, rendered, image, torch.zeros_like(mask))
    loss.backward()
    assert loss.item() == 0.0
    assert rendered.grad.count_nonzero() == 0


def test_silent_features_have_a_finite_gradient():
    composite = torch.zeros(1, 4, 2, 2, requires_grad=True)
    feature_loss(composite, torch.zeros(1, 4, 2, 2), torch.ones(1, 1, 8, 8)).backward()
    assert composite.grad.isfinite().all()
