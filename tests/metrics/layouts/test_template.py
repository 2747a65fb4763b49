"""REALY's keypoints on a template against a loop, and its mask."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from tests.official.benchmarks import write_mesh

from recface.errors import RecfaceError
from recface.metrics.layouts import with_template
from recface.metrics.protocols import Predictions
from recface.metrics.protocols.realy import triangles_of
from recface.results.evaluate import evaluate

BALL = trimesh.creation.icosphere(2)
COUNT = len(BALL.vertices)


@pytest.fixture
def template(tmp_path):
    random = np.random.default_rng(0)
    write_mesh(tmp_path / "mine.obj", BALL.vertices, BALL.faces)
    weights = random.dirichlet(np.ones(3), 85)[:, :2]
    rows = [[int(random.integers(len(BALL.faces))), *pair] for pair in weights.tolist()]
    (tmp_path / "mine.txt").write_text(json.dumps(rows))
    return tmp_path / "mine.txt"


def predicted() -> Predictions:
    shapes = np.stack([100 * BALL.vertices, 90 * BALL.vertices + [1, 2, 3]]).astype(np.float32)
    return Predictions(("a", "b"), vertices=shapes, triangles=np.asarray(BALL.faces), where="method")


def test_keypoints_against_a_loop(template) -> None:
    found = with_template(predicted(), template).points
    assert found.shape == (2, 85, 3)
    for shape, points in zip(predicted().vertices, found, strict=True):
        for (triangle, first, second), point in zip(json.loads(template.read_text()), points, strict=True):
            a, b, c = (shape[corner] for corner in BALL.faces[triangle])
            np.testing.assert_allclose(point, first * a + second * b + (1 - first - second) * c, atol=1e-4)
    np.testing.assert_array_equal(with_template(predicted(), template.with_suffix(".obj")).points, found)


@pytest.mark.parametrize("between", ["\n", ",", ", "])
def test_the_mask_leaves_triangles_whose_corners_are_all_in_it(template, between) -> None:
    front = BALL.vertices[:, 2] > 0
    mask = template.with_name("mask.txt")
    mask.write_text(between.join("01"[inside] for inside in front.astype(int)))
    found = with_template(predicted(), template, mask)
    assert found.mask.tolist() == front.tolist()
    expected = [face for face in BALL.faces.tolist() if all(front[corner] for corner in face)]
    assert triangles_of(found, BALL.faces).tolist() == expected and 0 < len(expected) < len(BALL.faces)
    assert triangles_of(predicted(), BALL.faces) is BALL.faces
    with pytest.raises(RecfaceError, match="method: the template's mask leaves no triangle"):
        triangles_of(replace(found, mask=np.zeros(COUNT, bool)), BALL.faces)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("mine.txt", "[[0, 0.5]]", r"it must hold \[triangle, weight, weight\] of each keypoint"),
        ("mine.txt", "[[99999, 0.5, 0.5]]", "it names triangles that mine.obj does not have"),
        ("mine.txt", "[[0.5, 0.5, 0.5]]", "it names triangles that"),
        ("mine.txt", "[[0, NaN, 0.5]]", "it must hold"),
        ("mine.txt", "no", "not a readable list of keypoints"),
        ("mine.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "mine.obj: 3 vertices, the predictions have 162"),
        ("mask.txt", "0 1 1", "3 numbers for 162 vertices"),
        ("mask.txt", "2 " * COUNT, "each must be 0 or 1"),
    ],
)
def test_mistakes_are_one_line(template, name, text, said) -> None:
    mask = template.with_name("mask.txt")
    mask.write_text("1 " * COUNT)
    template.with_name(name).write_text(text)
    with pytest.raises(RecfaceError, match=said) as caught:
        with_template(predicted(), template, mask)
    assert "\n" not in str(caught.value)


def test_a_mask_needs_its_template(tmp_path) -> None:
    with pytest.raises(RecfaceError, match="--template-mask is of the template: give --template, too"):
        evaluate(tmp_path, "realy-regions/v1", tmp_path, template_mask=tmp_path / "mask.txt")
