"""Meshes come back as the file lists them, whatever its form; what cannot be read is named in one line."""

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recface.errors import RecfaceError
from recface.files.meshes import (
    diagonal,
    read_mesh,
    require_millimeters,
    write_glb,  # noqa: I001
)

SQUARE = np.array([[0.0, 0, 0], [9, 9, 9], [1, 0, 0], [1, 1, 0], [0, 1, 0]])  # no face has the second vertex
HALVES = np.array([[0, 2, 3], [0, 3, 4]])
VERTICES = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in SQUARE)
OBJ = {
    "triangles": VERTICES + "f 1 3 4\nf 1 4 5\n",
    "a polygon": VERTICES + "f 1 3 4 5\n",
    "counted from the end": VERTICES + "f -5 -3 -2 -1\n",
    "counted from the end, halfway": VERTICES.replace("v 0 1 0\n", "f -4 -2 -1\nv 0 1 0\nf -5 -2 -1\n"),
    "all kinds of corners": VERTICES + "vt 0 0\nvn 0 0 1\nf 1/1/1 3//1 4/1\nf 1/1/1 4//1 5/1\n",
    "texture seams": VERTICES + "vt 0 0\nvt 1 0\nvt 0 1\nf 1/1 3/2 4/3\nf 1/3 4/1 5/2\n",
    "Windows line ends": (VERTICES + "f 1 3 4 5\n").replace("\n", "\r\n"),
    "tabs and indents": "  " + VERTICES.replace(" ", "\t") + "\tf\t1 3\t4 5\n",
    "comments": "# v 7 7 7\n" + VERTICES.replace("\n", " # v\n") + "f 1 3 4 5 # a square\n",
    "colors, groups, materials": "mtllib a.mtl\no b\n"
    + VERTICES.replace("\n", " .5 .5 .5\n")
    + "g c\ns 1\nf 1 3 4 5\n",
    "a byte order mark": "\ufeff" + VERTICES + "f 1 3 4 5",
}
HEADER = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
POINTS = "end_header\n" + "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in SQUARE)
FACES = "element face {}\nproperty list uchar int vertex_indices\n"


@pytest.mark.parametrize("form", OBJ)
def test_obj(tmp_path, form) -> None:
    (tmp_path / "a.OBJ").write_bytes(OBJ[form].encode())
    vertices, triangles = read_mesh(tmp_path / "a.OBJ")
    assert vertices.dtype == np.float64 and triangles.dtype == np.int64
    np.testing.assert_array_equal(vertices, SQUARE)
    assert sorted(map(sorted, triangles.tolist())) == HALVES.tolist()


def test_polygons_keep_their_turning(tmp_path) -> None:
    (tmp_path / "a.obj").write_text(VERTICES + "f 1 3 4 5\n")
    assert read_mesh(tmp_path / "a.obj")[1].tolist() == HALVES.tolist()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ply_with_a_quad_and_an_unused_vertex(tmp_path, end) -> None:
    text = HEADER + FACES.format(1) + POINTS + "4 0 2 3 4\n"
    (tmp_path / "a.ply").write_bytes(text.replace("\n", end).encode())
    vertices, triangles = read_mesh(tmp_path / "a.ply")
    np.testing.assert_array_equal(vertices, SQUARE)
    assert {frozenset(row) for row in triangles.tolist()} == {frozenset(row) for row in HALVES.tolist()}


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_ply_of_trimesh(tmp_path, encoding) -> None:
    ball = trimesh.creation.icosphere(2, 80.0)
    ball.export(tmp_path / "a.ply", encoding=encoding)
    vertices, triangles = read_mesh(tmp_path / "a.ply")
    np.testing.assert_allclose(vertices, ball.vertices, atol=1e-4)
    np.testing.assert_array_equal(triangles, ball.faces)


@pytest.mark.parametrize("name", ["a.obj", "a.ply", "a.npz"])
def test_vertices_alone(tmp_path, name) -> None:
    (tmp_path / "a.obj").write_text(VERTICES)
    (tmp_path / "a.ply").write_text(HEADER + POINTS)
    np.savez(tmp_path / "a.npz", vertices=SQUARE)
    vertices, triangles = read_mesh(tmp_path / name)
    np.testing.assert_array_equal(vertices, SQUARE)
    assert triangles is None


def test_npz_with_triangles(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", vertices=SQUARE.astype(np.float32), triangles=HALVES.astype(np.uint16))
    vertices, triangles = read_mesh(str(tmp_path / "a.npz"))
    assert (vertices.dtype, triangles.dtype) == (np.float64, np.int64)
    np.testing.assert_array_equal(vertices, SQUARE)
    np.testing.assert_array_equal(triangles, HALVES)
    np.savez(tmp_path / "a.npz", vertices=SQUARE, triangles=np.empty((0, 3), int))
    assert read_mesh(tmp_path / "a.npz")[1] is None


@st.composite
def meshes(draw) -> tuple[np.ndarray, np.ndarray]:
    """Vertices, most of them in no face, and triangles."""
    count = draw(st.integers(3, 12))
    number = st.floats(-1e3, 1e3, width=32)
    corner = st.lists(st.integers(0, count - 1), min_size=3, max_size=3, unique=True)
    return draw(arrays(np.float64, (count, 3), elements=number)), np.array(draw(st.lists(corner, min_size=1)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mesh=meshes(), from_end=st.booleans(), corner=st.sampled_from(["{0}", "{0}/{0}", "{0}//{0}", "{0}/{0}/{0}"]))
def test_what_is_written_is_read(tmp_path, mesh, from_end, corner) -> None:
    vertices, triangles = mesh
    lines = ["v {!r} {!r} {!r}".format(*map(float, row)) for row in vertices]
    counted = triangles - len(vertices) if from_end else triangles + 1
    lines += ["f " + " ".join(corner.format(number) for number in row) for row in counted]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    np.savez(tmp_path / "a.npz", vertices=vertices, triangles=triangles)
    trimesh.Trimesh(vertices, triangles, process=False, validate=False).export(tmp_path / "a.ply")
    for name in ("a.obj", "a.npz", "a.ply"):
        read = read_mesh(tmp_path / name)
        np.testing.assert_array_equal(read[0], vertices)  # 32 bits, as PLY has them
        np.testing.assert_array_equal(read[1], triangles)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), ending=st.sampled_from(["obj", "ply"]))
def test_as_trimesh_reads_where_every_vertex_has_a_face(tmp_path, seed, ending) -> None:
    ball = trimesh.creation.icosphere(1, 80.0)
    ball.apply_transform(trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3)))
    ball.export(tmp_path / f"a.{ending}")
    expected = trimesh.load(tmp_path / f"a.{ending}", process=False)
    vertices, triangles = read_mesh(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(vertices, expected.vertices)
    np.testing.assert_array_equal(triangles, expected.faces)


BAD = {
    "empty.obj": ("", "must hold vertices"),
    "flat.obj": ("v 0 0\nv 1 1\n", "must hold vertices"),
    "ragged.obj": ("v 0 0 0\nv 1 1\n", "not a readable mesh"),
    "word.obj": ("v 0 0 x\n", r"not a readable mesh \(could not convert string to float: 'x'\)"),
    "corner.obj": (VERTICES + "f 1 2 x\n", "not a readable mesh"),
    "far.obj": (VERTICES + "f 1 2 6\n", "triangles must name vertices of the file, which holds 5"),
    "zero.obj": (VERTICES + "f 0 1 2\n", "triangles must name vertices of the file"),
    "early.obj": (VERTICES + "f -1 -2 -6\n", "triangles must name vertices of the file"),
    "empty.ply": ("", "not a readable mesh"),
    "cut.ply": ("ply\nformat ascii 1.0\n", "not a readable mesh"),
    "far.ply": (HEADER + FACES.format(1) + POINTS + "3 0 1 5\n", "triangles must name vertices of the file"),
    "text.npz": ("hello", "not a readable npz"),
    "a.stl": ("solid", r"a mesh must be one of \.obj, \.ply, \.npz"),
    "none.obj": (None, "no such file"),
    "points.npz": ({"points": SQUARE}, r"not a readable mesh \(no array 'vertices', it has points\)"),
    "nothing.npz": ({}, "it has none"),
    "flat.npz": ({"vertices": SQUARE[:, :2]}, "must hold vertices"),
    "objects.npz": ({"vertices": np.array([None])}, "not a readable npz"),
    "words.npz": ({"vertices": SQUARE, "triangles": np.array([["a", "b", "c"]])}, "expected integers"),
    "halves.npz": ({"vertices": SQUARE, "triangles": HALVES + 0.5}, "expected integers"),
    "quads.npz": ({"vertices": SQUARE, "triangles": np.array([[0, 1, 2, 3]])}, r"int64 \(1, 4\), expected integers"),
    "far.npz": ({"vertices": SQUARE, "triangles": HALVES + 1}, "triangles must name vertices of the file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_line(tmp_path, name) -> None:
    content, said = BAD[name]
    if isinstance(content, dict):
        np.savez(tmp_path / name, **content)
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RecfaceError, match=said) as caught:
        read_mesh(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(caught.value)


def test_a_folder_is_no_mesh(tmp_path) -> None:
    (tmp_path / "a.obj").mkdir()
    with pytest.raises(RecfaceError, match="it is a folder"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize("size", [40.0, 250.0, 1000.0])
def test_a_face_in_millimeters(size) -> None:
    require_millimeters(size, 40, 1000, "a.obj")


@pytest.mark.parametrize(
    ("size", "unit"),
    [
        (0.25, "meters, multiply by 1000"),
        (2.5, "decimeters, multiply by 100"),
        (25.0, "centimeters, multiply by 10"),
        (250e3, "micrometers, multiply by 0.001"),
    ],
)
def test_a_wrong_unit_is_guessed(size, unit) -> None:
    # The first unit that fits is said, and for a face's diagonal it is the right one.
    with pytest.raises(RecfaceError, match=f"^a.obj: .* 150 to 400 mm, not .*: these look like {unit}$"):
        require_millimeters(size, 150, 400, "a.obj")


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e12, float("nan"), float("inf")])
def test_no_unit_is_guessed_for_what_no_face_is(size) -> None:
    with pytest.raises(RecfaceError, match=r"a face must measure 40 to 1000 mm, not [^:]*$"):
        require_millimeters(size, 40, 1000, "a.obj")


def test_diagonal() -> None:
    assert diagonal(np.array([[1.0, 2, 3], [4, 6, 3], [2, 3, 15]])) == pytest.approx(13)
    assert diagonal(SQUARE[:1]) == 0


def test_a_comment_that_ends_in_a_backslash_takes_no_line_along(tmp_path) -> None:
    (tmp_path / "a.obj").write_text("# exported to C:\\scans\\\n" + VERTICES + "f 1 2 3 # of \\\nf 2 3 4\n")
    (tmp_path / "b.obj").write_text(VERTICES + "f 1 2 3\nf 2 3 4\n")
    for one, other in zip(read_mesh(tmp_path / "a.obj"), read_mesh(tmp_path / "b.obj"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_glb_loads_with_its_colors_in_meters(tmp_path):
    vertices = np.array([[0.0, 0, 0], [100, 0, 0], [0, 50, 0], [0, 0, 25]])
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    colors = np.array([[0.0, 0.5, 1.0], [1, 1, 1], [0.2, 0.02, 0.7], [0, 0, 0]])
    for name in ("a.glb", "b.glb"):
        write_glb(tmp_path / name, vertices, triangles, colors)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    np.testing.assert_allclose(mesh.vertices, vertices / 1000, atol=1e-8)
    np.testing.assert_array_equal(mesh.faces, triangles)
    # IEC 61966-2-1: half of the screen's range is 21.4% of the light.
    assert mesh.visual.kind == "vertex" and mesh.visual.vertex_colors[0].tolist() == [0, 55, 255, 255]
