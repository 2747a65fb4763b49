import gzip

import numpy as np
import pytest
import torch

from recface.face_model import makehuman
from recface.face_model.makehuman import assemble, interpolate_anchors, macro_names, macro_weights, sample_traits
from recface.face_model.surface import reflect


@pytest.fixture(scope="module")
def template():
    return makehuman.read_template()


def test_target_file_is_read(tmp_path):
    text = "# a comment\n\n1 .5 -1 0\n3 0 .001 2\n"
    (tmp_path / "a.target").write_text(text)
    (tmp_path / "b.target.gz").write_bytes(gzip.compress(text.encode()))
    expected = np.zeros((5, 3))
    expected[1], expected[3] = (50, -100, 0), (0, 0.1, 200)
    for name in ("a.target", "b.target.gz"):
        np.testing.assert_allclose(makehuman.read_target(tmp_path / name, 5), expected)


def test_template_and_head_cut(template):
    keep, triangles = makehuman.cut_head(template)
    assert template.vertices.shape == (19158, 3) and 4000 < len(keep) < 4600
    assert set(np.unique(triangles)) == set(range(len(keep)))  # every vertex is used, none is missing
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert uses.max() == 2
    head_only = template.vertices[keep]
    assert np.ptp(head_only[:, 0]) < 250 and head_only[:, 1].min() > 500  # neither shoulders nor hands


def test_triangulation_of_known_quads():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [3, 1, 0], [0, 1, 0]], dtype=float)
    # The diagonal 1-3 is shorter than 0-2.
    found = makehuman.triangulate(np.array([[0, 1, 2, 3]]), vertices)
    assert {frozenset(t) for t in found.tolist()} == {frozenset({1, 2, 3}), frozenset({1, 3, 0})}
    assert (
        np.cross(vertices[found[:, 1]] - vertices[found[:, 0]], vertices[found[:, 2]] - vertices[found[:, 0]])[:, 2] > 0
    ).all()
    assert len(makehuman.triangulate(np.array([[0, 1, 2, 2]]), vertices)) == 1


def test_macro_weights_are_a_partition(template):
    traits = sample_traits(50, 7, np.random.default_rng(0))
    for rows in (traits.ethnicity, traits.sex, traits.age, traits.muscle, traits.weight):
        np.testing.assert_allclose(rows.sum(axis=1), 1)
        assert (rows >= 0).all()
    weights = macro_weights(traits)
    names = macro_names()
    assert weights.shape == (50, len(names)) and len(set(names)) == len(names)
    body = np.array([name.startswith("universal") for name in names])
    np.testing.assert_allclose(weights[:, body].sum(axis=1), 1)
    np.testing.assert_allclose(weights[:, ~body].sum(axis=1), 1)
    person = names.index("asian-male-old")
    np.testing.assert_allclose(weights[:, person], traits.ethnicity[:, 1] * traits.sex[:, 1] * traits.age[:, 2])
    np.testing.assert_allclose(interpolate_anchors(np.array([-1, -0.25, 0, 0.5])) @ [-1, 0, 1], [-1, -0.25, 0, 0.5])


def test_assemble_against_a_loop():
    rng = np.random.default_rng(1)
    macros = rng.normal(size=(len(macro_names()), 4, 3))
    sliders = [
        makehuman.Slider("two-way", rng.normal(size=(4, 3)), rng.normal(size=(4, 3))),
        makehuman.Slider("one-way", rng.normal(size=(4, 3)), None),
    ]
    base, traits = rng.normal(size=(4, 3)), sample_traits(5, 2, rng)
    shapes = assemble(base, macros, sliders, traits)
    for person in range(5):
        expected = base + np.tensordot(macro_weights(traits)[person], macros, axes=1)
        for value, slider in zip(traits.sliders[person], sliders, strict=True):
            negative = slider.positive if slider.negative is None else slider.negative
            expected = expected + (value * slider.positive if value > 0 else -value * negative)
        np.testing.assert_allclose(shapes[person], expected)


def test_every_mode_and_the_mean_are_symmetric(face_model):
    mirror = face_model.mirror.numpy()
    modes = face_model.identity_basis.T.reshape(face_model.num_identity, -1, 3).numpy()
    np.testing.assert_allclose(reflect(modes, mirror), modes, atol=1e-6)
    np.testing.assert_allclose(reflect(face_model.mean.numpy(), mirror), face_model.mean.numpy(), atol=1e-4)


def test_expressions_act_where_they_say(face_model):
    names, points = face_model.expression_names, face_model.landmarks68
    assert face_model.num_identity == makehuman.MODES == 40

    def moved(name):
        e = torch.zeros(1, face_model.num_expressions)
        e[0, names.index(name)] = 1
        return (face_model.landmarks(torch.zeros(1, 40), e)[0] - face_model.mean[points]).numpy()

    jaw, smile, blink = moved("jawOpen"), moved("mouthSmileLeft"), moved("eyeBlinkLeft")
    assert jaw[8, 1] < -5 and np.abs(jaw[27:31]).max() < 1.0
    assert smile[54, 1] > 2 and smile[54, 1] > 3 * abs(smile[48, 1])  # 54 is the subject's left
    assert blink[43:45, 1].mean() < -3 and np.abs(blink[36:42]).max() < 0.5
    assert "tongueOut" not in names


def test_mask_leaves_out_eyeballs_ears_neck_and_mouth(face_model, template):
    keep, _ = makehuman.cut_head(template)
    mask = face_model.face_mask.numpy()
    eyes = template.quads[np.isin(template.groups, ["helper-l-eye", "helper-r-eye"])]
    assert not mask[np.isin(keep, eyes)].any()
    points = face_model.mean[face_model.landmarks68].numpy()
    inside = face_model.mean.numpy()[mask]
    assert inside[:, 1].min() > points[8, 1] - 5 and np.abs(inside[:, 0]).max() < np.abs(points[:17, 0]).max() + 5
    near_mouth = np.linalg.norm(inside[:, :2] - points[60:68, :2].mean(axis=0), axis=1) < 12
    assert inside[near_mouth, 2].min() > points[48, 2] - 8  # no lining of the mouth


def test_people_are_people(face_model):
    identity = torch.randn(200, 40, generator=torch.Generator().manual_seed(0))
    shapes = face_model.shape(identity)
    on_face = (shapes - face_model.mean)[:, face_model.face_mask].norm(dim=-1)
    assert 1.5 < on_face.mean() < 4.0
    points = shapes[:, face_model.landmarks68]
    eyes = (points[:, 36] - points[:, 45]).norm(dim=1)
    assert eyes.min() > 68 and eyes.max() < 100
    assert (points[:, 37, 1] > points[:, 41, 1]).all()  # eyes open
    assert (points[:, 51, 1] > points[:, 57, 1]).all() and (points[:, 33, 1] > points[:, 51, 1]).all()


@pytest.mark.slow
def test_build_is_reproducible(face_model):
    again = makehuman.build()
    for field, array in face_model.arrays().items():
        np.testing.assert_allclose(again.arrays()[field], array, atol=1e-5, err_msg=field)
