"""Predictions and truth brought together: order, what is left out, and the lines that messages name."""

import numpy as np
import pytest

from recface.cli.program import main
from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions
from recface.metrics.protocols.scans import SEVEN, row_name
from recface.metrics.readers import match, read_truth

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
