"""Symmetry, Laplacian, face region and caps, on meshes made here."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.face_model.ict import boundary_loops, cap_triangles, cap_vertices, eyeball, make_cap, pouch
from recface.face_model.surface import (
    exposed,
    find_mirror,
    fit_mirror,
    graph_laplacian,
    largest_part,
    outward,
    reflect,
    symmetrize,
)


@pytest.fixture
def sphere():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=80.0)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def open_sphere(sphere, height=60.0):
    """The sphere with its front cut off, leaving one round rim."""
    vertices, faces = sphere
    return vertices, faces[(vertices[faces][..., 2] < height).all(axis=1)]


def test_mirror_of_a_sphere(sphere):
    vertices, _ = sphere
    mirror = find_mirror(vertices, 1e-6)
    np.testing.assert_allclose(vertices[mirror], vertices * (-1, 1, 1), atol=1e-9)
    field = np.random.default_rng(0).normal(size=(4, *vertices.shape))
    np.testing.assert_array_equal(reflect(reflect(field, mirror), mirror), field)
    even = symmetrize(field, mirror)
    np.testing.assert_allclose(reflect(even, mirror), even, atol=1e-12)


def test_asymmetric_mesh_is_refused(sphere):
    vertices = sphere[0].copy()
    vertices[np.abs(vertices[:, 0]).argmax()] += 3.0
    with pytest.raises(RecfaceError, match="must be symmetric"):
        find_mirror(vertices, 0.1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    turn=st.tuples(*[st.floats(-0.03, 0.03)] * 3),
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_mirror_is_found_in_a_plane_of_its_own(seed, turn, shift):
    random = np.random.default_rng(seed)
    # As far apart as vertices of a face are, so that a plane that is a little off finds the same neighbors.
    grid = np.stack(np.meshgrid(np.arange(1, 5), np.arange(8), np.arange(3)), axis=-1).reshape(-1, 3) * 15.0
    right = grid + random.uniform(-3, 3, grid.shape)
    middle = random.uniform(0, 100, (7, 3)) * [0, 1, 1] + np.arange(7)[:, None] * [0, 17, 0]
    points, size = np.concatenate([right, right * [-1, 1, 1], middle]), len(right)
    expected = np.concatenate([np.arange(size) + size, np.arange(size), np.arange(2 * size, len(points))])
    order = random.permutation(len(points))
    moved = (points @ Rotation.from_rotvec(turn).as_matrix().T + shift)[order]
    mirror, residual = fit_mirror(moved)
    assert residual < 1e-9
    assert (order[mirror] == expected[order]).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60))
def test_a_mirror_map_of_any_points_is_an_involution(seed, count):
    points = np.random.default_rng(seed).uniform(-70, 70, (count, 3))
    mirror, residual = fit_mirror(points)
    assert (mirror[mirror] == np.arange(count)).all() and np.isfinite(residual)


def test_mirror_of_the_embedded_head_is_the_exact_one(face_model):
    mirror, residual = fit_mirror(face_model.mean.double().numpy())
    np.testing.assert_array_equal(mirror, face_model.mirror)
    assert residual < 0.01


def test_triangles_are_turned_outward(sphere):
    vertices, faces = sphere
    for given_faces in (faces, faces[:, ::-1]):
        assert trimesh.Trimesh(vertices + 40, outward(given_faces, vertices + 40), process=False).volume > 0


def test_largest_part_is_the_skin(sphere):
    vertices, faces = sphere
    eye = trimesh.creation.icosphere(subdivisions=1)
    both = np.concatenate([np.asarray(eye.faces), faces + len(eye.vertices)])
    found = largest_part(both, len(eye.vertices) + len(vertices) + 1)  # and a vertex without triangles
    assert found.sum() == len(vertices) and not found[: len(eye.vertices)].any() and not found[-1]


def test_exposed_on_a_ball_within_a_ball(sphere):
    vertices, faces = sphere
    both = np.concatenate([vertices, 0.5 * vertices])
    triangles = np.concatenate([faces, faces + len(vertices)])
    view = np.array([0.0, -0.6, 0.8])
    facing = vertices @ view
    seen = exposed(both, triangles, np.arange(len(both)), views=view[None])
    clear = np.abs(facing) > 8  # at the silhouette the margin decides
    np.testing.assert_array_equal(seen[: len(vertices)][clear], facing[clear] > 0)
    assert not seen[len(vertices) :].any()

    # With its front cut off, the ball inside shows through the hole of radius sqrt(80^2 - 60^2), and only there.
    _, opened = open_sphere(sphere)
    triangles = np.concatenate([opened, faces + len(vertices)])
    within = np.arange(len(vertices), len(both))
    seen = exposed(both, triangles, within, views=np.array([[0.0, 0.0, 1.0]]))
    inner = 0.5 * vertices
    radius = np.linalg.norm(inner[:, :2], axis=1)
    np.testing.assert_array_equal(seen[radius < 35], inner[radius < 35, 2] > 0)


@pytest.mark.parametrize("surface", [eyeball, pouch])
def test_cap_makes_an_oriented_closed_mesh_and_stays_linear(sphere, surface):
    vertices, faces = open_sphere(sphere)
    (rim,) = boundary_loops(faces)
    cap = make_cap(vertices, rim, 3, surface, moves=True)
    closed = trimesh.Trimesh(cap_vertices(vertices, [cap]), cap_triangles(faces, len(vertices), [cap]), process=False)
    assert boundary_loops(closed.faces) == [] and closed.is_winding_consistent
    np.testing.assert_allclose(cap.weights.sum(axis=1), 1)

    field = np.random.default_rng(1).normal(size=vertices.shape)
    moved = cap_vertices(vertices + field, [cap])
    np.testing.assert_allclose(moved - cap_vertices(vertices, [cap]), cap_vertices(field, [cap], displacement=True))
    still = make_cap(vertices, rim, 3, surface, moves=False)
    assert (cap_vertices(field, [still], expression=True)[len(vertices) :] == 0).all()
    assert (cap_vertices(field, [cap], expression=True)[len(vertices) :] != 0).any()


def test_eyeball_touches_the_lids_from_behind():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rim = np.stack([12 * np.cos(angle), 5 * np.sin(angle), -3 * np.cos(angle) ** 2], axis=1)
    gap = rim[:, 2] - eyeball(rim, rim)
    assert gap.min() == pytest.approx(0) and gap.max() < 10
    assert eyeball(rim.mean(axis=0)[None], rim) > rim[:, 2].max()  # and bulges between them


def test_laplacian_against_a_loop(sphere):
    vertices, faces = sphere
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    expected = np.stack([v - vertices[n].mean(axis=0) for v, n in zip(vertices, mesh.vertex_neighbors, strict=True)])
    np.testing.assert_allclose(graph_laplacian(faces, len(vertices)) @ vertices, expected, atol=1e-9)
