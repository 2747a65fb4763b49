import copy
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.networks import Coefficients, Encoders
from recface.networks.encoders import bounded_factor, unit_interval

SIZES = {"num_identity": 8, "num_expression": 5, "num_albedo": 4, "initial_scale": 0.01}
SHAPES = {
    "identity": (4, 8),
    "expression": (4, 5),
    "rotation": (4, 3, 3),
    "scale": (4,),
    "translation": (4, 2),
    "light": (4, 9, 3),
    "albedo": (4, 4),
}


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return Encoders(**SIZES, end="layer3").to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def photos():
    torch.manual_seed(1)
    return torch.rand(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("backbone", "shared"), [("resnet10t", "layer2"), ("mobilenetv3_small_050", 2), ("convnext_atto", "stages.1")]
)
def test_shapes_under_autocast(backbone, shared, photos):
    network = Encoders(**SIZES, backbone=backbone, shared=shared)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coefficients = network(photos)
    assert {field.name: tuple(getattr(coefficients, field.name).shape) for field in fields(coefficients)} == SHAPES
    assert all(getattr(coefficients, name).dtype == torch.float32 for name in SHAPES)
    assert len(coefficients) == 4


def test_signed_expressions_are_linear_and_scaled_by_their_deviations(photos):
    sigma = torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0])
    torch.manual_seed(0)
    network = Encoders(**SIZES, end="layer3", expression_sigma=sigma)
    with torch.no_grad():
        network.scene.head.bias[9:14] = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])  # after rotation, scale, translation
        found = network(photos).expression
    torch.testing.assert_close(found, (network.scene.head.bias[9:14] * sigma).expand(4, 5), atol=0.2, rtol=0)
    assert "expression_sigma" not in network.state_dict()


def test_starts_at_the_neutral_face_but_tells_photos_apart(encoders, photos):
    with torch.no_grad():
        start = encoders(photos)
    identity_matrix = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(start.rotation, identity_matrix, atol=0.1, rtol=0)
    torch.testing.assert_close(start.scale, torch.full((4,), 0.01), rtol=0.1, atol=0)
    ambient = torch.zeros(4, 9, 3)
    ambient[:, 0] = 1
    torch.testing.assert_close(start.light, ambient, atol=0.1, rtol=0)
    for name in ("identity", "expression", "translation", "albedo"):
        assert getattr(start, name).abs().max() < 0.1
    assert start.identity.std(dim=0).min() > 0


def test_rotations_are_rotations(encoders, photos):
    rotation = encoders(photos).rotation
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4))


@pytest.mark.parametrize(
    ("part", "encoder"),
    [("identity", "shape"), ("albedo", "albedo")]
    + [(part, "scene") for part in ("rotation", "scale", "translation", "expression", "light")],
)
def test_a_coefficient_trains_its_own_encoder_and_the_shared_trunk(encoders, photos, part, encoder):
    encoders.zero_grad()
    torch.manual_seed(0)
    value = getattr(encoders(photos), part)
    (value * torch.randn_like(value)).sum().backward()
    touched = {
        name.split(".")[0] for name, p in encoders.named_parameters() if p.grad is not None and p.grad.count_nonzero()
    }
    assert touched == {"trunk", encoder}


def test_late_stages_are_not_shared(encoders):
    parts = [encoders.trunk, encoders.shape, encoders.scene, encoders.albedo]
    counts = [len({id(p) for p in part.parameters()}) for part in parts]
    assert len({id(p) for p in encoders.parameters()}) == sum(counts)
    weights = [part.stages[0][0].conv1.weight for part in parts[1:]]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_frozen_trunk_is_a_feature_network(encoders, photos):
    features = copy.deepcopy(encoders.trunk).eval().requires_grad_(False)
    image = photos.clone().requires_grad_()
    features(image).sum().backward()
    assert image.grad.count_nonzero() > 0
    assert features(photos).shape == (4, 128, 8, 8)


def test_weights_follow_the_seed(photos):
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        network = Encoders(**SIZES, end="layer3").eval()
        with torch.no_grad():
            results.append(network(photos).identity)
    assert torch.equal(*results)


def test_index():
    coefficients = Coefficients(**{name: torch.randn(shape, requires_grad=True) for name, shape in SHAPES.items()})
    mask = torch.tensor([True, False, False, True])
    chosen = coefficients.index(mask)
    assert len(chosen) == 2
    assert all(torch.equal(getattr(chosen, name), getattr(coefficients, name)[[0, 3]]) for name in SHAPES)
    assert chosen.identity.requires_grad


@settings(deadline=None, max_examples=30)
@given(first=st.floats(-50, 50), second=st.floats(-50, 50))
def test_maps_are_bounded_and_monotone(first, second):
    low, high = sorted((first, second))
    values = torch.tensor([low, high], dtype=torch.float64)
    for function, lower, upper in ((unit_interval, 0, 1), (bounded_factor, 0.5, 2)):
        result = function(values)
        assert lower <= result[0] <= result[1] <= upper


def test_expression_at_rest_is_near_zero_and_can_wake():
    value = torch.zeros(1, requires_grad=True)
    unit_interval(value).backward()
    assert unit_interval(value).item() == pytest.approx(0.025, abs=1e-3)
    assert value.grad.item() == pytest.approx(0.5, abs=1e-3)
    torch.testing.assert_close(unit_interval(torch.tensor([0.5])), torch.tensor([0.5]))
