"""Fitting methods on faces whose shape is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recface.baselines.configuration import baseline_config, checked_settings
from recface.baselines.fit import fit_photos
from recface.baselines.given_landmarks import landmark_pose, noisy
from recface.baselines.run_baseline import build_baseline
from recface.data import Source
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.render import Renderer, euler_to_matrix, project

SIZE = 64


@pytest.fixture(scope="module")
def frontal(face_model):
    """Six people from the front, neutral: a source with exact landmarks and true shapes, and black photos."""
    true = torch.from_numpy(np.random.default_rng(3).normal(size=(6, face_model.num_identity))).float()
    camera = torch.eye(3).expand(6, 3, 3), torch.full((6,), 1 / 90), torch.zeros(6, 2)
    marks = project(face_model.landmarks(true), *camera)[..., :2]
    return Source(
        "frontal", np.zeros((6, 3, SIZE, SIZE), np.uint8), np.arange(6), marks.numpy(), identity_parameters=true.numpy()
    )


def settings(name, **changes):
    return baseline_config(name, ["scale=smoke"])["baselines"] | changes


def error(face_model, predicted, source):
    """Mean distance of the vertices from the true ones in mm, as decoded: the pose is known here."""
    true = face_model.shape(torch.from_numpy(source.identity_parameters))
    return float((face_model.shape(predicted) - true).norm(dim=-1).mean())


def few(benchmark, count=4):
    source = embedded_source(benchmark, "validation")
    return replace(
        source,
        images=source.images[:count],
        identity=source.identity[:count],
        landmarks=source.landmarks[:count],
        identity_parameters=source.identity_parameters[:count],
        extra=None,
    )


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.2, -0.7, 0.3), (-0.3, 1.0, -0.1)])
def test_pose_of_exact_landmarks_is_recovered(face_model, angles):
    rotation = euler_to_matrix(torch.tensor([angles]))
    scale, translation = torch.tensor([0.013]), torch.tensor([[0.1, -0.2]])
    points = face_model.landmarks(torch.zeros(1, face_model.num_identity))
    found = landmark_pose(points, project(points, rotation, scale, translation)[..., :2])
    for value, expected in zip(found, (rotation, scale, translation), strict=True):
        assert torch.allclose(value, expected, atol=1e-5)
    assert torch.det(found[0]).item() == pytest.approx(1, abs=1e-5)


def test_mean_face_is_the_mean_and_lies_on_the_landmarks(face_model, frontal):
    output = build_baseline(face_model, None, settings("mean_face"))(frontal)
    assert output["identity"].abs().max() == 0 and output["expression"].abs().max() == 0
    distance = np.linalg.norm(output["landmarks"].numpy() - frontal.landmarks, axis=-1)
    assert distance.mean() < 0.1  # half images: the faces differ, the place does not


def test_eos_recovers_shape_from_exact_frontal_landmarks_better_than_the_mean_face(face_model, frontal):
    predict = build_baseline(face_model, None, settings("eos"))
    output = predict(frontal)
    mean = error(face_model, torch.zeros_like(output["identity"]), frontal)
    assert error(face_model, output["identity"], frontal) < 0.75 * mean
    cosine = torch.cosine_similarity(output["identity"], torch.from_numpy(frontal.identity_parameters))
    assert (cosine > 0.3).all()
    # In the image the fit is far closer than a pixel: axes, order and unit of all arrays are right.
    assert np.abs(output["landmarks"].numpy() - frontal.landmarks).mean() * SIZE / 2 < 0.15


def test_blendshapes_in_eos_are_never_negative(face_model, frontal):
    output = build_baseline(face_model, None, settings("eos", expression="blendshapes", iterations=3))(frontal)
    assert output["expression"].shape == (6, face_model.num_expressions) and (output["expression"] >= 0).all()
    assert output["expression"].max() > 0 and torch.isfinite(output["identity"]).all()


def test_noise_has_the_stated_size_and_is_the_source_s_own():
    marks = np.zeros((500, 68, 2))
    first, again, other = noisy(marks, 0.03, 0, "test"), noisy(marks, 0.03, 0, "test"), noisy(marks, 0.03, 0, "x")
    assert first.std() == pytest.approx(0.03, rel=0.02) and (first == again).all() and (first != other).any()
    assert np.linalg.norm(first, axis=-1).mean() == pytest.approx(0.03 * np.sqrt(np.pi / 2), rel=0.02)


def test_noise_reaches_rendered_faces_alone(face_model, frontal):
    exact, detected = (build_baseline(face_model, None, settings(name)) for name in ("eos", "eos_noisy"))
    real = replace(frontal, identity_parameters=None)
    same = settings("eos_noisy") | {"noise": 0.0}
    assert torch.equal(detected(real)["identity"], build_baseline(face_model, None, same)(real)["identity"])
    assert not torch.equal(detected(frontal)["identity"], detected(real)["identity"])
    assert error(face_model, exact(frontal)["identity"], frontal) < error(
        face_model, detected(frontal)["identity"], frontal
    )


@pytest.mark.slow
def test_fit_reduces_its_loss_in_both_parts_and_finds_the_shape(face_model, benchmark):
    source = few(benchmark)
    images = torch.from_numpy(np.array(source.images)).float() / 255
    renderer = Renderer(face_model.triangles, images.shape[-1])
    losses = []
    chosen = checked_settings(settings("fit", landmark_steps=40, pixel_steps=20))
    marks = torch.from_numpy(source.landmarks).float()
    values = fit_photos(
        face_model, benchmark.albedo_model, renderer, images, marks, chosen, lambda _, loss: losses.append(loss)
    )
    assert losses[39] < 0.2 * losses[0]  # landmarks
    assert losses[59] < 0.8 * losses[40]  # with pixels, which are new at step 40
    true = torch.from_numpy(source.identity_parameters)
    assert (torch.cosine_similarity(values["identity"], true) > 0.3).all()
    assert values["expression"].min() >= 0 and values["expression"].max() <= 1


def test_fit_of_a_photo_does_not_depend_on_the_others(face_model, benchmark):
    source, chosen = few(benchmark, 3), settings("fit", landmark_steps=5, pixel_steps=3)
    together = build_baseline(face_model, benchmark.albedo_model, chosen | {"batch": 3})(source)
    alone = build_baseline(face_model, benchmark.albedo_model, chosen | {"batch": 1})(source)
    for key, value in together.items():
        assert torch.allclose(value, alone[key], atol=2e-3), key


@pytest.mark.parametrize("name", ["mean_face", "eos", "fit"])
def test_photos_without_landmarks_are_refused(face_model, benchmark, frontal, name):
    predict = build_baseline(face_model, benchmark.albedo_model, settings(name))
    with pytest.raises(RecfaceError, match=f"{name}: source 'frontal' has no landmarks"):
        predict(replace(frontal, landmarks=None))
    lacking = frontal.landmarks.copy()
    lacking[2, 5] = np.nan
    with pytest.raises(RecfaceError, match="photo 2 of source 'frontal' lacks landmarks"):
        predict(replace(frontal, landmarks=lacking))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "magic"}, "baselines.method must be one of mean_face, eos, fit, imported, not 'magic'"),
        ({"nois": 1.0}, "baselines.nois is an unknown key"),
        ({"noise": -0.1}, "baselines.noise must be a number >= 0, not -0.1"),
        ({"iterations": 2.5}, "baselines.iterations must be a whole number >= 0, not 2.5"),
        ({"expression": "smile"}, "expression must be 'linear' or 'blendshapes', not 'smile'"),
    ],
)
def test_wrong_settings_are_named(face_model, changes, says):
    with pytest.raises(RecfaceError, match=says):
        build_baseline(face_model, None, settings("eos") | changes)
