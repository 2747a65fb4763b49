"""Scans, landmarks and regions from files."""

import numpy as np
import pytest
import trimesh

from recface.errors import RecfaceError
from recface.metrics.scan import read_landmarks, read_rows, read_scan

NAMES = ("nose_tip", "nose_base")


@pytest.fixture
def head() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=2, radius=90)


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_meshes_keep_the_order_of_their_vertices(tmp_path, head, suffix) -> None:
    head.export(tmp_path / f"scan.{suffix}")
    scan = read_scan(tmp_path / f"scan.{suffix}")
    np.testing.assert_allclose(scan.vertices, head.vertices, atol=1e-4)
    np.testing.assert_array_equal(scan.triangles, head.faces)


def test_npz_with_and_without_triangles(tmp_path, head) -> None:
    np.savez(tmp_path / "mesh.npz", vertices=head.vertices, triangles=head.faces)
    np.savez(tmp_path / "cloud.npz", vertices=head.vertices.astype(np.float32))
    np.testing.assert_array_equal(read_scan(tmp_path / "mesh.npz").triangles, head.faces)
    cloud = read_scan(tmp_path / "cloud.npz")
    assert cloud.triangles is None and cloud.vertices.dtype == np.float64


def test_a_ply_of_points_alone(tmp_path, head) -> None:
    trimesh.PointCloud(head.vertices).export(tmp_path / "cloud.ply")
    cloud = read_scan(tmp_path / "cloud.ply")
    assert cloud.triangles is None
    np.testing.assert_allclose(cloud.vertices, head.vertices, atol=1e-4)


def test_an_obj_with_a_texture_seam_keeps_its_vertices(tmp_path) -> None:
    corners = [(0, 0, 0), (80, 0, 0), (80, 80, 0), (0, 80, 0)]
    lines = ["mtllib absent.mtl", "o head", "usemtl skin"]
    lines += [f"v {x} {y} {z}" for x, y, z in corners]
    lines += [f"vt {u} {v}" for u, v in ((0, 0), (1, 0), (1, 1), (0.5, 0.5), (0.2, 0.1), (0, 1))]
    lines += ["f 1/1 2/2 3/3", "f 1/4 3/5 4/6"]  # the diagonal has two textures
    (tmp_path / "seam.obj").write_text("\n".join(lines) + "\n")
    scan = read_scan(tmp_path / "seam.obj")
    np.testing.assert_array_equal(scan.vertices, corners)
    np.testing.assert_array_equal(scan.triangles, [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "meters"), (0.1, "centimeters"), (1000, "micrometers")])
def test_another_unit_is_caught_by_size(tmp_path, head, factor, unit) -> None:
    np.savez(tmp_path / "scan.npz", vertices=factor * head.vertices)
    with pytest.raises(RecfaceError, match=rf"scan.npz: .* look like {unit}, multiply by {1 / factor:g}"):
        read_scan(tmp_path / "scan.npz")


def test_scans_that_cannot_be_read_are_named(tmp_path, head) -> None:
    with pytest.raises(RecfaceError, match=r"none.ply: no such file"):
        read_scan(tmp_path / "none.ply")
    with pytest.raises(RecfaceError, match=r"scan.stl: a mesh must be one of .obj, .ply, .npz"):
        read_scan(tmp_path / "scan.stl")
    for name in ("text.ply", "text.obj", "text.npz"):
        (tmp_path / name).write_text("no mesh")
        with pytest.raises(RecfaceError, match=name):
            read_scan(tmp_path / name)
    np.savez(tmp_path / "other.npz", points=head.vertices)
    with pytest.raises(RecfaceError, match=r"other.npz: not a readable mesh \(no array 'vertices', it has points\)"):
        read_scan(tmp_path / "other.npz")
    broken = head.vertices.copy()
    broken[5, 1] = np.inf
    np.savez(tmp_path / "broken.npz", vertices=broken)
    with pytest.raises(RecfaceError, match=r"broken.npz: vertices: row 5 of 162 is not finite"):
        read_scan(tmp_path / "broken.npz")


def test_landmarks_come_in_the_order_of_the_names(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,x,y,z\nchin,0,0,0\nnose_base, 1,2,3\n nose_tip,4,5,6.5\n")
    np.testing.assert_array_equal(read_landmarks(path, NAMES), [[4, 5, 6.5], [1, 2, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,x,y,z\nnose_tip,1,2,3\n",
            r"a.csv: landmark nose_base is missing; the protocol needs nose_tip",
        ),
        ("name,x,y,z\nnose_tip,1,2,3\nnose_base,4,,6\n", r"a.csv: line 3: y is empty"),
        ("name,x,y,z\nnose_tip,1,2,3\nnose_base,4,five,6\n", r"a.csv: line 3: landmark nose_base is not finite"),
        ("name,x,y,z\nnose_tip,1,2,3\nnose_tip,4,5,6\n", r"a.csv: line 3: landmark nose_tip is there twice"),
        ("name,x,y\nnose_tip,1,2\n", r"a.csv: no column z"),
        ("", r"a.csv: no column name; a file of landmarks needs name, x, y, z"),
    ],
)
def test_wrong_landmarks_are_named(tmp_path, text, message) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecfaceError, match=message):
        read_landmarks(tmp_path / "a.csv", NAMES)


def test_absent_landmarks_are_named(tmp_path) -> None:
    with pytest.raises(RecfaceError, match=r"none.csv: no such file"):
        read_landmarks(tmp_path / "none.csv", NAMES)


def test_regions_as_mask_and_as_numbers(tmp_path) -> None:
    mask = np.array([True, False, True, False, True])
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "numbers.npy", np.array([4, 0, 2, 2]))
    (tmp_path / "numbers.txt").write_text("4\n0\n2\n")
    for name in ("mask.npy", "numbers.npy", "numbers.txt"):
        assert read_rows(tmp_path / name, 5).tolist() == [0, 2, 4]


def test_wrong_regions_are_named(tmp_path) -> None:
    for name, values, message in (
        ("a.npy", np.ones(4, dtype=bool), "a.npy: a mask of 4 vertices for a scan of 5"),
        ("b.npy", np.array([0, 5]), "b.npy, row 2: vertex 5 of a scan of 5"),
        ("c.npy", np.zeros(5, dtype=bool), "c.npy: the region is empty"),
        ("d.npy", np.zeros(5), r"d.npy: holds float64 \(5,\)"),
    ):
        np.save(tmp_path / name, values)
        with pytest.raises(RecfaceError, match=message):
            read_rows(tmp_path / name, 5)
    (tmp_path / "e.txt").write_text("nose\n")
    (tmp_path / "f.npy").touch()
    for name, message in (
        ("f.npy", "f.npy: not a readable npy"),
        ("e.txt", "e.txt: not a readable list"),
        ("none.npy", "none.npy: no such file"),
    ):
        with pytest.raises(RecfaceError, match=message):
            read_rows(tmp_path / name, 5)


PICKED = """<!DOCTYPE PickedPoints>
<PickedPoints>
 <DocumentData>
  <DateTime time="10:00:00" date="2018-01-01"/>
 </DocumentData>
 <point x="1.5" y="-2" z="3e1" active="1" name="b"/>
 <point active="1" name="a" z="6" y="5" x="4"/>
</PickedPoints>
"""


def test_landmarks_picked_in_meshlab(tmp_path) -> None:
    (tmp_path / "a.pp").write_text(PICKED)
    assert read_landmarks(tmp_path / "a.pp", ("a", "b")).tolist() == [[4, 5, 6], [1.5, -2, 30]]  # by their names
    assert read_landmarks(tmp_path / "a.pp", ("b",)).tolist() == [[1.5, -2, 30]]
    assert read_landmarks(tmp_path / "a.pp", ("c", "d")).tolist() == [[1.5, -2, 30], [4, 5, 6]]  # by their order
    for text, said in (
        (PICKED.replace('x="4"', ""), "not a readable file of picked points"),
        (PICKED.replace('x="4"', 'x="nan"'), "row 1 of 2 is not finite"),
        (PICKED.replace("<point", "<dot"), r"points have shape \(0, 3\)"),
    ):
        (tmp_path / "a.pp").write_text(text)
        with pytest.raises(RecfaceError, match=said):
            read_landmarks(tmp_path / "a.pp", ("a", "b"))
    (tmp_path / "a.pp").write_text(PICKED)
    with pytest.raises(RecfaceError, match="2 points, expected 3: c, d, e"):
        read_landmarks(tmp_path / "a.pp", ("c", "d", "e"))


def test_landmarks_as_arrays(tmp_path) -> None:
    points = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", points)
    np.savetxt(tmp_path / "a.txt", points)
    for name in ("a.npy", "a.txt"):
        assert read_landmarks(tmp_path / name, ("a", "b")).tolist() == points.tolist()
        with pytest.raises(RecfaceError, match="2 points, expected 1: a"):
            read_landmarks(tmp_path / name, ("a",))
    (tmp_path / "a.txt").write_text("1 2\n3 4\n")
    with pytest.raises(RecfaceError, match=r"points have shape \(2, 2\), expected \(N, 3\)"):
        read_landmarks(tmp_path / "a.txt", ("a", "b"))
    (tmp_path / "a.txt").write_text("1 2 three\n")
    with pytest.raises(RecfaceError, match="not a readable list of points"):
        read_landmarks(tmp_path / "a.txt", ("a",))
