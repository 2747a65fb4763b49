"""Bending: affine motions are found exactly, stiffness holds a mesh together, keypoints lead where points err."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics.scan import SearchMesh, Similarity
from recface.metrics.scan.alignment import (
    corresponding_error,
    merged,
    overall_alignment,
    regional_alignment,
    schedule,
)
from recface.metrics.scan.nonrigid import Keypoints, Stage, bend


def sheet(size: int = 15, height: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A square of 14 x 14 units with triangles; `height` of the waves on it."""
    x, y = (part.ravel() for part in np.meshgrid(np.arange(size), np.arange(size), indexing="ij"))
    vertices = np.stack([x, y, height * np.sin(x / 2) * np.cos(y / 3)], axis=1).astype(float)
    first = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    lower = np.stack([first, first + size, first + 1], axis=1)
    return vertices, np.concatenate([lower, np.stack([first + 1, first + size, first + size + 1], axis=1)])


STIFF = (Stage(1e3, tolerance=1e-6),)


def test_a_mesh_that_lies_on_its_points_stays() -> None:
    vertices, triangles = sheet(height=1.0)
    np.testing.assert_allclose(bend(vertices, triangles, vertices, schedule(False)), vertices, atol=1e-9)


def test_an_affine_motion_is_found_whatever_the_stiffness() -> None:
    """All vertices share one map then, so that differences of neighbors are none."""
    vertices, triangles = sheet(height=1.0)
    vertices = vertices - vertices.mean(axis=0)
    points = vertices @ np.array([[1.02, 0.03, 0.01], [0, 0.99, 0.02], [0.01, 0, 1.01]]) + [0.1, -0.05, 0.15]
    assert np.linalg.norm(points - vertices, axis=1).max() < 0.5  # nearest points are the corresponding ones
    for stages in (STIFF, schedule(False)):
        np.testing.assert_allclose(bend(vertices, triangles, points, stages), points, atol=1e-6)


def test_stiffness_is_what_keeps_a_bump_out() -> None:
    vertices, triangles = sheet(height=1.0)
    points = vertices.copy()
    middle = len(points) // 2
    points[middle, 2] += 0.9
    bent = [bend(vertices, triangles, points, (Stage(alpha, steps=1),)) for alpha in (1e-3, 1.0, 1e3)]
    heights = [(one - vertices)[middle, 2] for one in bent]
    assert heights[0] == pytest.approx(0.9, abs=1e-2) and heights[0] > heights[1] > heights[2]
    assert heights[2] == pytest.approx(0.9 / len(points), abs=0.03)  # one map for all: the mean of what pulls


def test_points_far_away_do_not_pull() -> None:
    vertices, triangles = sheet()
    points = vertices.copy()
    points[-1, 2] = 5.0
    np.testing.assert_allclose(bend(vertices, triangles, points, schedule(False))[:, 2], 0, atol=1e-6)


def cap(sphere: trimesh.Trimesh, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of a sphere above a share of its radius."""
    rows = np.flatnonzero(sphere.vertices[:, 2] > least * np.linalg.norm(sphere.vertices[0]))
    new = np.full(len(sphere.vertices), -1)
    new[rows] = np.arange(len(rows))
    return np.asarray(sphere.vertices)[rows], new[sphere.faces[(new[sphere.faces] >= 0).all(axis=1)]]


def test_keypoints_lead_along_a_surface_that_points_do_not_hold() -> None:
    """A cap turned about its axis within its sphere: nearest points see nothing of it, keypoints all."""
    vertices, triangles = cap(trimesh.creation.icosphere(3, 10.0), 0.3)
    points = trimesh.creation.icosphere(6, 10.0).vertices
    turned = Rotation.from_rotvec([0, 0, 0.3]).apply(vertices)
    rows = np.arange(0, len(vertices), 20)
    led = Keypoints(rows, turned[rows], 50.0, 5.0, float(np.exp(-0.9)))
    found = bend(vertices, triangles, points, schedule(True), led)
    assert np.linalg.norm(found - turned, axis=1).max() < 0.15
    alone = bend(vertices, triangles, points, schedule(False))
    assert np.linalg.norm(alone - vertices, axis=1).max() < 0.15
    assert np.linalg.norm(turned - vertices, axis=1).max() > 2.5


def test_the_last_of_two_keypoints_on_a_vertex_counts() -> None:
    vertices, triangles = sheet(height=1.0)
    rows, up = np.array([0, 14, 112, 112, 210, 224]), np.array([0, 0, 0.3])
    target = vertices[rows] + up
    target[2] += 100
    led = Keypoints(rows, target, 50.0, 5.0, 0.5)
    stage = Stage(150, (2, 2, 3, 2), steps=1, points=False)
    np.testing.assert_allclose(bend(vertices, triangles, vertices, (stage,), led), vertices + up, atol=1e-6)


def test_a_part_that_nothing_holds_is_an_error() -> None:
    vertices, triangles = sheet(height=1.0)
    count = len(vertices)
    both = np.concatenate([vertices, vertices + [0, 0, 50]])
    led = Keypoints(np.array([0, 14, 112, 210]), vertices[[0, 14, 112, 210]], 50.0, 5.0, 0.5)
    with pytest.raises(RecfaceError, match="too few points and keypoints"):
        bend(both, np.concatenate([triangles, triangles + count]), vertices, schedule(True), led)


def test_maps_that_nothing_determines_are_an_error() -> None:
    vertices, triangles = sheet(height=1.0)
    points = vertices + [0, 0, 1.5] * (vertices[:, :1] > 6)
    with pytest.raises(RecfaceError, match="leave open how a part of the mesh bends"):
        bend(vertices, triangles, points, (Stage(0.0),))


def test_one_step_is_the_least_squares_solution() -> None:
    """The stacked rows written out: differences of maps over edges, vertices to points, keypoints to their places."""
    random = np.random.default_rng(0)
    vertices, triangles = sheet(4, height=1.0)
    points = vertices + 0.2 * random.normal(size=vertices.shape)
    led = Keypoints(np.array([3, 9]), vertices[[3, 9]] + 0.5, 7.0, 5.0, 0.5)
    stage = Stage(1.7, (2, 2, 3, 2), steps=1)
    edges = {tuple(sorted(pair)) for a, b, c in triangles for pair in ((a, b), (b, c), (c, a))}
    rows, right = [], []
    for first, second in edges:
        for part, weight in enumerate(stage.weights):
            row = np.zeros((16, 4))
            row[first, part], row[second, part] = stage.stiffness * weight, -stage.stiffness * weight
            rows.append(row.ravel())
            right.append(np.zeros(3))
    near = np.linalg.norm(vertices[:, None] - points, axis=2)
    assert near.min(axis=1).max() < 1  # so that every point pulls
    pulls = [(vertex, points[near[vertex].argmin()], 1.0) for vertex in range(16)]
    for vertex, target, weight in pulls + list(zip(led.rows, led.target, (7.0, 7.0), strict=True)):
        row = np.zeros((16, 4))
        row[vertex] = weight * np.append(vertices[vertex], 1)
        rows.append(row.ravel())
        right.append(weight * np.asarray(target))
    maps = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0].reshape(16, 4, 3)
    expected = np.einsum("vi,vij->vj", np.column_stack([vertices, np.ones(16)]), maps)
    np.testing.assert_allclose(bend(vertices, triangles, points, (stage,), led), expected, atol=1e-8)


def test_the_overall_alignment_finds_a_similarity_and_measures_size_by_absolute_coordinates() -> None:
    random = np.random.default_rng(0)
    source = random.normal(size=(7, 3)) * 40
    motion = Similarity(0.11, Rotation.from_rotvec([0.4, -0.7, 0.2]).as_matrix(), np.array([3.0, -2, 8]))
    found = overall_alignment(source, motion(source))
    np.testing.assert_allclose(found(source), motion(source), atol=1e-9)
    # Stretched along one axis, where least squares would say another size: (3 x 4 + 2 x 4) / (2 x 4 + 2 x 4).
    cross = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert overall_alignment(2 * cross, cross * [3, 2, 1]).scale == pytest.approx(10 / 8)


def test_the_regional_alignment_finds_a_motion_with_and_without_keypoints() -> None:
    vertices, triangles = sheet(29, height=2.0)
    motion = Similarity(1.0, Rotation.from_rotvec([0.02, -0.03, 0.02]).as_matrix(), np.array([0.2, -0.1, 0.1]))
    region, keys = motion(vertices[200:600]), vertices[[210, 330, 450, 520]]
    mesh = SearchMesh(vertices, triangles)
    for share in (1.0, 0.25):
        found = regional_alignment(mesh, region, keys, motion(keys), Similarity(), share)
        assert np.abs(found(vertices) - motion(vertices)).max() < 0.05, share
    # Keypoints that say otherwise move it by about half, as they weigh as much as the region.
    apart = regional_alignment(mesh, vertices[200:600], keys, keys + [0, 0, 0.4], Similarity())
    assert apart(keys)[:, 2].mean() - keys[:, 2].mean() == pytest.approx(0.2, abs=0.05)


def test_the_error_of_a_parallel_surface_is_its_distance() -> None:
    outer = trimesh.creation.icosphere(4, 11.0)
    mesh = SearchMesh(outer.vertices, outer.faces)
    region, faces = cap(trimesh.creation.icosphere(4, 10.0), 0.5)
    keys = region[:: len(region) // 9]
    assert corresponding_error(region, faces, mesh, None) == pytest.approx(1.0, abs=5e-3)
    assert corresponding_error(region, faces, mesh, (keys, 1.1 * keys)) == pytest.approx(1.0, abs=5e-3)


def test_the_error_is_that_of_corresponding_not_of_nearest_points() -> None:
    """A wavy sheet whose wave has moved by a unit along itself: nearest points are much nearer than that."""
    vertices, triangles = sheet(height=2.0)
    shift = np.array([1.0, 0, 0])
    wide, wide_triangles = sheet(15, height=2.0)
    mesh = SearchMesh(wide + shift, wide_triangles)
    rows = np.arange(225).reshape(15, 15)[2:12, 2:13].ravel()
    inside = np.full(225, -1)
    inside[rows] = np.arange(len(rows))
    faces = inside[triangles[(inside[triangles] >= 0).all(axis=1)]]
    region, keys = vertices[rows], vertices[rows][::7]
    nearest = mesh.nearest(region).distance.mean()
    led = corresponding_error(region, faces, mesh, (keys, keys + shift))
    assert nearest < 0.6 and led == pytest.approx(1.0, abs=0.05)


def test_merging_keeps_the_triangles() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [9, 9, 9], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    triangles = np.array([[0, 1, 3], [4, 5, 3]])
    kept, faces = merged(vertices, triangles)
    assert len(kept) == 4
    np.testing.assert_array_equal(kept[faces], vertices[triangles])
