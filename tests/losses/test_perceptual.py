import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from recface.losses import feature_loss, perceptual_loss
from recface.losses.pixel import SMALLEST_SCALE


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Tanh()).eval().requires_grad_(False)


def photos():
    torch.manual_seed(1)
    mask = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    mask[0, :, 4:8, 4:12] = True
    mask[2] = True
    return torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16), mask


def test_equals_the_loop_over_covered_cells(network):
    rendered, image, mask = photos()
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


def test_confidence_is_the_scale_of_normal_noise(network):
    rendered, image, mask = photos()
    mask[:] = True
    sigma = 0.2 + torch.rand(3, 1, 4, 4)
    distance = (functional.normalize(network(rendered)) - functional.normalize(network(image))).square().sum(1)
    scale = sigma[:, 0] + SMALLEST_SCALE
    expected = (distance / (2 * scale**2) + scale.log()).mean()
    torch.testing.assert_close(perceptual_loss(network, rendered, image, mask, sigma), expected)


def test_gradient_reaches_the_rendered_face_only(network):
    rendered, image, mask = photos()
    rendered.requires_grad_()
    image.requires_grad_()
    perceptual_loss(network, rendered, image.detach(), mask).backward()
    assert torch.equal(rendered.grad.abs().sum(1, keepdim=True) > 0, mask)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_equal_images_are_zero_and_no_face_is_exactly_zero(network):
    rendered, image, mask = photos()
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
