"""PLY in all of its forms: as trimesh reads it where trimesh can, and as its rows say where it cannot."""

import struct

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.files.test_meshes import meshes

from recface.errors import RecfaceError
from recface.files.meshes import read_mesh
from recface.files.ply import TYPES

FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
NAMES = {"f": "float", "d": "double", "B": "uchar", "h": "short", "i": "int", "I": "uint"}


def ply(
    points, faces, form, point="f", length="B", index="i", before=(), after=(), list_name="vertex_indices"
) -> bytes:
    """A PLY with scalar properties of the given kinds around the coordinates, with value 1, and texture coordinates."""
    order = FORMATS[form]
    head = ["ply", f"format {form} 1.0", "comment TextureFile ../../etc/passwd", "obj_info x"]
    head += [f"element vertex {len(points)}", *(f"property {NAMES[kind]} b{i}" for i, kind in enumerate(before))]
    head += [f"property {NAMES[point]} {axis}" for axis in "xyz"]
    head += [f"property {NAMES[kind]} a{i}" for i, kind in enumerate(after)]
    head += [f"element face {len(faces)}", f"property list {NAMES[length]} {NAMES[index]} {list_name}"]
    head += ["property list uchar float texcoord", "end_header\n"]
    rows = [[*(1 for _ in before), *map(float, row), *(1 for _ in after)] for row in points]
    if not order:
        lines = [" ".join(map(repr, row)) for row in rows]
        lines += [f"{len(face)} {' '.join(map(str, face))} {2 * len(face)} {'0.5 ' * 2 * len(face)}" for face in faces]
        return ("\n".join(head) + "\n".join([*lines, ""])).encode()
    packed = [struct.pack(order + "".join(before) + 3 * point + "".join(after), *row) for row in rows]
    for face in faces:
        packed += [struct.pack(f"{order}{length}{len(face)}{index}", len(face), *face)]
        packed += [struct.pack(f"{order}B{2 * len(face)}f", 2 * len(face), *[0.5] * 2 * len(face))]
    return "\n".join(head).encode() + b"".join(packed)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mesh=meshes(),
    form=st.sampled_from(list(FORMATS)),
    kinds=st.tuples(st.sampled_from("fd"), st.sampled_from("BhiI"), st.sampled_from("hiI")),
    before=st.lists(st.sampled_from("Bhd"), max_size=2),
    after=st.lists(st.sampled_from("Bif"), max_size=4),
    quads=st.lists(st.booleans(), min_size=12, max_size=12),
    list_name=st.sampled_from(["vertex_indices", "vertex_index"]),
)
def test_rows_of_every_form_come_back(tmp_path, mesh, form, kinds, before, after, quads, list_name) -> None:
    points, triangles = mesh
    faces = [(*face, face[0]) if quad else face for face, quad in zip(triangles.tolist(), quads, strict=False)]
    (tmp_path / "a.ply").write_bytes(ply(points, faces, form, *kinds, before, after, list_name))
    found = read_mesh(tmp_path / "a.ply")
    np.testing.assert_array_equal(found[0], points)
    assert found[1].tolist() == [[face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(list(FORMATS)), kind=st.sampled_from("fd"), seed=st.integers(0, 999))
def test_as_trimesh_reads_it(tmp_path, form, kind, seed) -> None:
    """Without texture, at whose seams trimesh splits vertices."""
    ball = trimesh.creation.icosphere(1, 80.0)
    points = (ball.vertices + np.random.default_rng(seed).normal(size=ball.vertices.shape)).astype(np.float32)
    data = ply(points, ball.faces.tolist(), form, kind)
    plain = data.replace(b"comment TextureFile ../../etc/passwd\n", b"").replace(b"texcoord", b"nothings")
    (tmp_path / "a.ply").write_bytes(plain)
    expected, found = trimesh.load(tmp_path / "a.ply", process=False), read_mesh(tmp_path / "a.ply")
    np.testing.assert_array_equal(found[0], expected.vertices)
    np.testing.assert_array_equal(found[1], expected.faces)


def test_other_elements_and_types_are_skipped(tmp_path) -> None:
    text = (
        "ply\nformat ascii 1.0\nelement camera 1\nproperty float view\nproperty list uint8 int8 ids\n"
        "element vertex 3\nproperty int16 z\nproperty float64 y\nproperty uint32 x\n"
        "element face 1\nproperty uchar flag\nproperty list uchar uint16 vertex_index\nelement edge 0\nend_header\n"
        "0.5 3 1 2 3\n1 2 3\n4 5 6\n7 8 9\n9 3 0 1 2\n"
    )
    (tmp_path / "a.ply").write_text(text)
    vertices, triangles = read_mesh(tmp_path / "a.ply")
    assert vertices.tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]] and triangles.tolist() == [[0, 1, 2]]


def test_all_names_of_types_have_their_size() -> None:
    sizes = {"8": 1, "16": 2, "32": 4, "64": 8, "char": 1, "short": 2, "int": 4, "float": 4, "double": 8}
    for name, code in TYPES.items():
        size = sizes.get("".join(filter(str.isdigit, name)) or name.removeprefix("u"))
        assert struct.calcsize("=" + code) == size, name


POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
WHOLE = ply(POINTS, [(0, 1, 2)], "binary_little_endian")
LISTS = ply(POINTS, [(0, 1, 2)], "binary_little_endian", length="i")
BROKEN = {
    "a count beyond the file": (WHOLE.replace(b"vertex 3", b"vertex 99999999999"), "promises 99,999,999,999 rows in"),
    "a negative count": (WHOLE.replace(b"vertex 3", b"vertex -5"), "line 5 promises -5 rows"),
    "a face more": (WHOLE.replace(b"face 1", b"face 2"), "not a readable mesh"),
    "a list beyond the file": (LISTS.replace(b"\3\0\0\0\0\0\0\0", b"\xff\xff\xff\x7f\0\0\0\0"), "not a readable mesh"),
    "a negative list": (LISTS.replace(b"\3\0\0\0\0\0\0\0", b"\xff\xff\xff\xff\0\0\0\0"), "not a readable mesh"),
    "no coordinates": (WHOLE.replace(b"float x", b"float q"), "not a readable mesh"),
    "no vertices": (WHOLE.replace(b"element vertex", b"element points"), "not a readable mesh"),
    "an unknown type": (WHOLE.replace(b"property float x", b"property real x"), "not a readable mesh"),
    "an unknown format": (WHOLE.replace(b"binary_little_endian", b"binary"), "not a readable mesh"),
    "cut in the header": (WHOLE[:80], "no PLY header"),
    "cut in the rows": (WHOLE[:-30], "not a readable mesh"),
    "words": (ply(POINTS, [(0, 1, 2)], "ascii").replace(b"1.0 0.0", b"one 0.0"), "not a readable mesh"),
    "a corner beyond the vertices": (ply(POINTS, [(0, 1, 3)], "ascii"), "must name vertices"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_one_line(tmp_path, kind) -> None:
    data, said = BROKEN[kind]
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(RecfaceError, match=said) as caught:
        read_mesh(tmp_path / "a.ply")
    assert str(caught.value).startswith(f"{tmp_path / 'a.ply'}: ") and len(str(caught.value).splitlines()) == 1
