"""A trained variant as a predictor: what it predicts is what the variant gives, as parameters of a plain model."""

import copy

import numpy as np
import pytest
import torch

from recface.data.sources import embedded_source
from recface.data.workbench import Workbench
from recface.face_model.residual import ResidualFaceModel
from recface.render import project
from recface.run import evaluation as predictors
from recface.run.evaluation import Network, Timed
from recface.settings.compose import compose_config
from recface.variants import build_variant


@pytest.fixture(scope="module")
def bench(face_model, benchmark):
    config = compose_config("+experiment=sfm", "scale=smoke")
    return Workbench(config, face_model, benchmark, {})


@pytest.fixture(scope="module")
def source(benchmark):
    return embedded_source(benchmark, "validation")


def variant_of(bench, learned: bool):
    """An untrained SFM; `learned`: with a basis that has moved away from the face model's."""
    config = bench.config | {"sfm": bench.config["sfm"] | {"learn_basis": learned}}
    torch.manual_seed(0)
    variant = build_variant(Workbench(config, bench.face_model, bench.benchmark, {}), stage=2)
    assert isinstance(variant.face_model, ResidualFaceModel) == learned
    if learned:
        with torch.no_grad():
            variant.face_model.residual_steps.normal_()
    torch.nn.init.normal_(variant.encoders.shape.head.weight, std=0.1)  # else all photos give the same shape
    return variant


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "learned"])
def variant(request, bench):
    return variant_of(bench, request.param)


def directly(variant, source):
    """Coefficients of all photos in one pass."""
    with torch.no_grad():
        return variant.eval()(torch.from_numpy(np.array(source.images)).float() / 255)


def test_predictions_are_those_of_the_variant(variant, source, monkeypatch) -> None:
    monkeypatch.setattr(predictors, "CHUNK", 7)  # parts of unequal length
    network = Network(variant)
    found, expected = network(source), directly(variant, source)
    assert {key: value.dtype for key, value in found.items()} == dict.fromkeys(found, torch.float32)
    torch.testing.assert_close(found["expression"], expected.expression, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        marks = variant.face_model.landmarks(expected.identity, expected.expression)
        placed = project(marks, expected.rotation, expected.scale, expected.translation)[..., :2]
        shapes = variant.face_model.shape(expected.identity[:5])
    torch.testing.assert_close(found["landmarks"], placed, rtol=1e-4, atol=1e-3)
    assert found["identity"].std(dim=0).max() > 0.01
    # The plain model makes the same shapes, in mm, of what is stored.
    torch.testing.assert_close(network.face_model.shape(found["identity"][:5]), shapes, rtol=0, atol=1e-3)


def test_the_model_of_the_predictions_is_plain(variant, bench) -> None:
    network = Network(variant)
    if isinstance(variant.face_model, ResidualFaceModel):
        assert type(network.face_model) is type(bench.face_model) and network.face_model is not bench.face_model
        assert network.face_model.checksum != bench.face_model.checksum
    else:
        assert network.face_model is bench.face_model


def test_the_model_is_exported_once(bench, source, monkeypatch) -> None:
    variant, calls = variant_of(bench, True), []
    export = variant.exported
    monkeypatch.setattr(variant, "exported", lambda: calls.append(1) or export())
    network = Network(variant)
    first, again = network(source), network(source)
    assert len(calls) == 1
    for key in first:
        torch.testing.assert_close(first[key], again[key], rtol=0, atol=0)


def test_predicting_changes_nothing_of_the_variant(bench, source) -> None:
    variant = variant_of(bench, True).train()
    before = copy.deepcopy(variant.state_dict())
    model = variant.face_model
    Network(variant)(source)
    assert variant.face_model is model and isinstance(model, ResidualFaceModel)
    assert all(parameter.grad is None for parameter in variant.parameters())
    assert model.residual_steps.requires_grad
    for key, value in variant.state_dict().items():  # running statistics would move in training mode
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert not variant.training


def test_photos_and_seconds_are_counted(variant, source) -> None:
    timed = Timed(Network(variant))
    assert timed.timings == {}
    timed(source)
    timed(source)
    assert timed.photos == 2 * len(source)
    assert timed.timings == {"image_cpu_seconds": pytest.approx(timed.seconds / timed.photos)} and timed.seconds > 0
