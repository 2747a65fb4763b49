import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recface.networks import MatmulConv2d, use_matmul
from recface.networks.matmul_convolution import LARGEST_MAP, _MatmulConvolution


def pair(**options):
    torch.manual_seed(0)
    direct = nn.Conv2d(bias=False, **options)
    return direct, use_matmul(nn.Sequential(direct))[0]


@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(2, 8),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    channels_last=st.booleans(),
)
def test_values_and_gradients_equal_the_direct_convolution(size, kernel, stride, padding, channels_last):
    if size + 2 * padding < kernel:
        return
    direct, product = pair(in_channels=3, out_channels=5, kernel_size=kernel, stride=stride, padding=padding)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    direct.double().to(memory_format=layout)
    image = torch.randn(2, 3, size, size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    expected = direct(image)
    weights = torch.randn_like(expected)
    gradients = torch.autograd.grad((expected * weights).sum(), (image, direct.weight))
    result = _MatmulConvolution.apply(image, product.weight, stride, padding)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(
        torch.autograd.grad((result * weights).sum(), (image, product.weight)), gradients, check_stride=False
    )


def test_takes_the_product_on_small_maps_only(monkeypatch):
    calls = []
    apply = _MatmulConvolution.apply
    monkeypatch.setattr(_MatmulConvolution, "apply", lambda *args: calls.append(args[0].shape[-1]) or apply(*args))
    _, product = pair(in_channels=3, out_channels=4, kernel_size=3, padding=1)
    small, large = int(LARGEST_MAP**0.5), int(LARGEST_MAP**0.5) + 1
    product(torch.randn(1, 3, small, small))
    product(torch.randn(1, 3, large, large))
    assert calls == [small]


def test_autocast_gives_bfloat16_and_float32_parameter_gradients():
    direct, product = pair(in_channels=16, out_channels=8, kernel_size=3, padding=1)
    image = torch.randn(4, 16, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = product(image)
    assert result.dtype == torch.bfloat16
    result.float().square().sum().backward()
    gradient = product.weight.grad
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(result.float(), direct(image), rtol=0.05, atol=0.05)
    expected = torch.autograd.grad(direct(image).square().sum(), direct.weight)[0]
    assert (gradient - expected).norm() < 0.02 * expected.norm()


def test_replaces_plain_convolutions_only_and_keeps_names_and_parameters():
    module = nn.Sequential(
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, dilation=2, bias=False),
        nn.Conv2d(4, 4, (3, 1), bias=False),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
        nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.ReLU()),
    )
    before = dict(module.named_parameters())
    use_matmul(module)
    assert {name for name, child in module.named_modules() if isinstance(child, MatmulConv2d)} == {"0", "6.0"}
    after = dict(module.named_parameters())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_frozen_inputs_or_weights_get_no_gradient(needs):
    image = torch.randn(1, 2, 3, 3, requires_grad=needs[0])
    weight = torch.randn(2, 2, 3, 3, requires_grad=needs[1])
    _MatmulConvolution.apply(image, weight, 1, 1).sum().backward()
    assert (image.grad is not None, weight.grad is not None) == needs
