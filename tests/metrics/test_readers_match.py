"""Predictions and truth brought together: order, what is left out, and the lines that messages name."""

import numpy as np
import pandas as pd
import pytest

from recface.cli.program import main
from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth
from recface.metrics.protocols.scans import SEVEN, row_name
from recface.metrics.readers import match, read_truth
from recface.metrics.readers.match import alike

NOW = BENCHMARKS["now-scan-to-mesh/v1"]
MANIFEST = "id,scan,landmarks\n\nann,a.npz,a.csv\nbob,b.npz,b.csv\n\n\nzoe,z.npz,z.csv\n"
LINES = {"ann": 3, "bob": 4, "zoe": 7}


def predictions(*ids: str) -> Predictions:
    """Spheres whose radius says whose they are."""
    directions = np.random.default_rng(0).normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.array([60.0 + LINES[name] for name in ids])
    vertices = (radii[:, None, None] * directions).astype(np.float32)
    triangles = np.arange(30).reshape(10, 3)
    return Predictions(ids, vertices=vertices, triangles=triangles, points=vertices[:, :7], where="p.npz")


@pytest.fixture
def truth(tmp_path):
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return read_truth(tmp_path, NOW)


@pytest.mark.parametrize("ids", [("zoe", "bob", "ann"), ("zoe", "bob"), ("zoe",), ("ann",), ("bob",)])
def test_rows_keep_their_line_whatever_is_missing(truth, ids) -> None:
    found = match(predictions(*ids), truth, NOW, allow_missing=True)
    assert found.missing == 3 - len(ids) and found.predictions.ids == tuple(sorted(ids))
    assert [row_name(found.truth, row) for row in range(len(ids))] == [
        f"{truth.where}: line {LINES[name]} (id {name})" for name in sorted(ids)
    ]
    radii = np.linalg.norm(found.predictions.vertices, axis=2).mean(axis=1)
    np.testing.assert_allclose(radii, [60 + LINES[name] for name in sorted(ids)], rtol=1e-6)
    np.testing.assert_array_equal(found.predictions.points, found.predictions.vertices[:, :7])


def test_what_is_missing_is_an_error_unless_it_may_be(truth) -> None:
    with pytest.raises(RecfaceError, match=r"no prediction for id ann of .*manifest.csv \(2 of 3 are missing\)"):
        match(predictions("zoe"), truth, NOW)


def test_the_command_names_the_line_of_the_manifest(truth, tmp_path, capsys) -> None:
    """A mistake in zoe's landmarks, where ann has no prediction and bob nothing wrong."""
    left = predictions("zoe", "bob")
    np.savez(tmp_path / "p.npz", ids=left.ids, vertices=left.vertices, triangles=left.triangles, points=left.points)
    for name in "bz":
        np.savez(tmp_path / f"{name}.npz", vertices=left.vertices[0])
        rows = [f"{mark},{','.join(map(str, point))}\n" for mark, point in zip(SEVEN, left.points[0], strict=True)]
        (tmp_path / f"{name}.csv").write_text("name,x,y,z\n" + "".join(rows[: None if name == "b" else 6]))
    arguments = ["--predictions", str(tmp_path / "p.npz"), "--protocol", NOW.id, "--data", str(tmp_path)]
    assert main(["evaluate", *arguments, "--allow-missing"]) == 1
    said = capsys.readouterr().err
    assert f"manifest.csv: line {LINES['zoe']} (id zoe): " in said and "landmark left_mouth_corner is missing" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MANIFEST.replace("zoe", "ann"), "line 7: id ann is there twice (first in line 3)"),
        (MANIFEST.replace("z.csv", ""), "line 7: landmarks is empty"),
    ],
)
def test_the_manifests_own_lines_are_named_when_it_is_read(tmp_path, text, said) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(RecfaceError) as caught:
        read_truth(tmp_path, NOW)
    assert str(caught.value) == f"{tmp_path / 'manifest.csv'}: {said}"


def test_numbers_are_named_with_their_line(tmp_path) -> None:
    protocol = next(one for one in BENCHMARKS.values() if one.numbers and not one.pairs and "yaw" in one.numbers)
    columns = ("id", *protocol.columns)
    row = ",".join("1" for _ in columns)
    bad = ",".join("x" if name == "yaw" else "2" for name in columns)
    (tmp_path / "manifest.csv").write_text(f"{','.join(columns)}\n\n{row}\n\n{bad}\n")
    with pytest.raises(RecfaceError, match="line 5: yaw must be a number, not 'x'"):
        read_truth(tmp_path, protocol)


@pytest.mark.parametrize(
    ("given", "wanted", "found"),
    [
        (["b", "a"], ["a", "b"], ["b", "a"]),
        (["x/a.jpg", "y/b.OBJ"], ["a", "b"], ["a", "b"]),
        (["a", "b"], ["s/t/a.png", "s/u/b.png"], ["s/t/a.png", "s/u/b.png"]),
        (["t\\a", "./u/a.ply"], ["s/t/a", "s/u/a"], ["s/t/a", "s/u/a"]),
        (["lfw/A_B/A_B_0001.jpg"], ["A_B_0001", "A_B_0002"], ["A_B_0001"]),
        (["a.jpg", "z"], ["x/a", "y/a"], ["a.jpg", "z"]),  # either could be meant
        (["q/x/a.jpg"], ["a", "x/a"], ["x/a"]),  # the longest
        (["a", "x/b.jpg"], ["a", "a.jpg"], ["a", "x/b.jpg"]),
        (["image.1"], ["image"], ["image.1"]),  # no ending of a photo or mesh
    ],
)
def test_ids_with_or_without_folders_and_endings(given, wanted, found) -> None:
    assert alike(given, wanted) == found


def test_predictions_that_a_benchmark_s_list_does_not_name_are_counted() -> None:
    table = pd.DataFrame({"id": ["s/a", "s/b"], "identity": ["x", "y"]})
    protocol = BENCHMARKS["clustering-parameters/v1"]
    found = match(
        Predictions(("b.jpg", "c.jpg", "a.jpg"), parameters=np.arange(3.0)[:, None]),
        Truth(table),
        protocol,
        allow_unused=True,
    )
    assert found.unused == 1 and found.predictions.parameters.ravel().tolist() == [2, 0]


def test_two_ids_of_one_photo_are_an_error() -> None:
    with pytest.raises(RecfaceError, match=r"predictions x/a.jpg and y/a.png both are of a; give one"):
        alike(["x/a.jpg", "y/a.png"], ["a"])
    with pytest.raises(RecfaceError, match="predictions a and y/a.png both are of a"):
        alike(["y/a.png", "a"], ["a"])
