"""Point-to-triangle distance against a brute force in plain NumPy and closed forms."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.errors import RecfaceError
from recface.metrics.scan import SearchMesh, scan_to_mesh


def segment_distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) to one segment."""
    along, squared = b - a, float((b - a) @ (b - a))
    t = np.zeros(len(points)) if squared == 0 else np.clip((points - a) @ along / squared, 0, 1)
    return np.linalg.norm(points - (a + t[:, None] * along), axis=1)


def triangle_distance(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(N,) to one triangle: to its plane where the foot is inside, else to the nearest of its three sides."""
    sides = np.min([segment_distance(points, *side) for side in ((a, b), (b, c), (c, a))], axis=0)
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal)
    if area < 1e-12:
        return sides
    normal = normal / area
    height = (points - a) @ normal
    foot = points - height[:, None] * normal
    inside = np.all([np.cross(q - p, foot - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a))], axis=0)
    return np.where(inside, np.abs(height), sides)


def brute_force(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return np.min([triangle_distance(points, *vertices[triangle]) for triangle in triangles], axis=0)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 1000), degenerate=st.booleans())
@settings(deadline=None, max_examples=40)
def test_any_soup_of_triangles_matches_brute_force(seed, scale, degenerate) -> None:
    random = np.random.default_rng(seed)
    vertices, points = scale * random.normal(size=(12, 3)), scale * 2 * random.normal(size=(40, 3))
    triangles = random.integers(0, 12, size=(15, 3))
    if degenerate:
        triangles[0] = [3, 3, 5]  # a segment
        triangles[1] = [7, 7, 7]  # a point
    expected = brute_force(points, vertices, triangles)
    np.testing.assert_allclose(scan_to_mesh(points, vertices, triangles), expected, atol=1e-9 * scale)


def test_a_closed_surface_matches_brute_force_and_trimesh() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=90)
    points = np.random.default_rng(1).normal(size=(300, 3)) * 70
    distance = scan_to_mesh(points, mesh.vertices, mesh.faces)
    np.testing.assert_allclose(distance, brute_force(points, mesh.vertices, mesh.faces), atol=1e-9)
    np.testing.assert_allclose(distance, trimesh.proximity.closest_point(mesh, points)[1], atol=1e-5)


def test_points_off_an_inscribed_ellipsoid_have_their_offset_as_distance() -> None:
    # The tangent plane at a vertex has the whole inscribed polyhedron on one side, so the vertex is the nearest point.
    axes = np.array([70.0, 100.0, 85.0])
    sphere = trimesh.creation.icosphere(subdivisions=4)
    vertices = sphere.vertices * axes
    normals = sphere.vertices / axes
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    for offset in (0.0, 1e-3, 2.5, 40.0):
        distance = scan_to_mesh(vertices + offset * normals, vertices, sphere.faces)
        np.testing.assert_allclose(distance, offset, atol=1e-9)


def test_nearest_points_lie_at_their_distance_on_their_triangle() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=50)
    points = np.random.default_rng(2).normal(size=(200, 3)) * 60
    nearest = SearchMesh(mesh.vertices, mesh.faces).nearest(points)
    np.testing.assert_allclose(np.linalg.norm(points - nearest.point, axis=1), nearest.distance, atol=1e-9)
    corners = mesh.vertices[mesh.faces[nearest.triangle]]
    own = [triangle_distance(point[None], *corner)[0] for point, corner in zip(nearest.point, corners, strict=True)]
    np.testing.assert_allclose(own, 0, atol=1e-9)


def test_the_rim_is_where_an_open_mesh_ends() -> None:
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]])
    square = SearchMesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    points = np.array([[5, 5, 3], [5, 4, 3], [11, 5, 0], [5, -1, 2], [12, 12, 1], [9.9, 5, 1]])
    # The first lies over the diagonal, which two triangles share.
    assert square.on_rim(square.nearest(points)).tolist() == [False, False, True, True, True, False]
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=50)
    closed = SearchMesh(sphere.vertices, sphere.faces)
    assert not closed.on_rim(closed.nearest(2 * sphere.vertices)).any()


def test_a_texture_seam_is_no_rim() -> None:
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0], [0, 0, 0], [10, 10, 0]])
    square = SearchMesh(corners, np.array([[0, 1, 2], [4, 5, 3]]))  # the diagonal's ends are there twice
    assert not square.on_rim(square.nearest(np.array([[5.0, 5, 3]]))).any()


def test_bad_input_is_named() -> None:
    vertices, triangles = np.eye(3), np.array([[0, 1, 2]])
    with pytest.raises(RecfaceError, match=r"scan points: row 1 of 2 is not finite \(1 such rows\)"):
        scan_to_mesh(np.array([[0, 0, 0], [np.nan, 0, 0]]), vertices, triangles)
    with pytest.raises(RecfaceError, match="mesh: vertices: row 2 of 3 is not finite"):
        scan_to_mesh(np.zeros((1, 3)), np.diag([1.0, 1.0, np.inf]), triangles)
    with pytest.raises(RecfaceError, match=r"mesh: triangle 1 is \[0, 1, 3\] but there are 3 vertices"):
        scan_to_mesh(np.zeros((1, 3)), vertices, np.array([[0, 1, 2], [0, 1, 3]]))
    with pytest.raises(RecfaceError, match=r"scan points have shape \(0, 3\)"):
        scan_to_mesh(np.zeros((0, 3)), vertices, triangles)
    with pytest.raises(RecfaceError, match="expected integers"):
        scan_to_mesh(np.zeros((1, 3)), vertices, triangles.astype(float))
