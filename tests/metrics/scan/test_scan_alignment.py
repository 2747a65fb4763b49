"""Procrustes and ICP: known transforms are found again, and nothing is ever reflected."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics.scan import SearchMesh, Similarity, icp, procrustes, sphere_crop, thin


def similarity_of(vector, shift, scale) -> Similarity:
    return Similarity(scale, Rotation.from_rotvec(vector).as_matrix(), np.array(shift, dtype=float))


def bumpy_head() -> tuple[np.ndarray, np.ndarray]:
    """A head without symmetry, so that only one pose fits."""
    sphere = trimesh.creation.icosphere(subdivisions=4)
    vertices = sphere.vertices * [70, 100, 85]
    return vertices + 6 * np.sin(vertices[:, [1, 2, 0]] / 15), np.asarray(sphere.faces)


TURNS = st.tuples(*[st.floats(-3, 3)] * 3)
SHIFTS = st.tuples(*[st.floats(-200, 200)] * 3)


@given(seed=st.integers(0, 999), vector=TURNS, shift=SHIFTS, scale=st.floats(0.1, 10), with_scale=st.booleans())
@settings(deadline=None, max_examples=50)
def test_procrustes_finds_a_known_transform(seed, vector, shift, scale, with_scale) -> None:
    points = 50 * np.random.default_rng(seed).normal(size=(7, 3))
    known = similarity_of(vector, shift, scale if with_scale else 1.0)
    found = procrustes(points, known(points), with_scale=with_scale)
    np.testing.assert_allclose(found(points), known(points), atol=1e-8)
    assert found.scale == pytest.approx(known.scale, rel=1e-9)


@pytest.mark.parametrize("with_scale", [True, False])
def test_procrustes_matches_scipy_on_noisy_landmarks(with_scale) -> None:
    random = np.random.default_rng(5)
    source, target = random.normal(size=(7, 3)), random.normal(size=(7, 3))
    x, y = source - source.mean(0), target - target.mean(0)
    rotation, _ = Rotation.align_vectors(y, x)
    scale = float(np.sum(rotation.apply(x) * y) / np.sum(x**2)) if with_scale else 1.0
    found = procrustes(source, target, with_scale=with_scale)
    np.testing.assert_allclose(found(source), scale * rotation.apply(x) + target.mean(0), atol=1e-10)


@given(seed=st.integers(0, 999), with_scale=st.booleans())
@settings(deadline=None, max_examples=30)
def test_procrustes_never_reflects(seed, with_scale) -> None:
    points = np.random.default_rng(seed).normal(size=(7, 3))
    found = procrustes(points, points * [-1, 1, 1], with_scale=with_scale)
    assert np.linalg.det(found.rotation) == pytest.approx(1) and found.scale > 0


@given(vector=TURNS, shift=SHIFTS, scale=st.floats(0.1, 10))
@settings(deadline=None, max_examples=30)
def test_transforms_invert_and_compose(vector, shift, scale) -> None:
    points = 50 * np.random.default_rng(0).normal(size=(9, 3))
    first, second = similarity_of(vector, shift, scale), similarity_of(shift[::-1], vector, 1 / scale)
    np.testing.assert_allclose(first.inverse()(first(points)), points, atol=1e-7)
    np.testing.assert_allclose(second.after(first)(points), second(first(points)), atol=1e-7)


@pytest.mark.parametrize("scale", [1.0, 0.8, 1.3])
@pytest.mark.parametrize("seed", range(3))
def test_icp_recovers_a_moved_mesh(scale, seed) -> None:
    vertices, triangles = bumpy_head()
    random = np.random.default_rng(seed)
    known = similarity_of(0.15 * random.normal(size=3), 8 * random.normal(size=3), scale)
    surface = trimesh.sample.sample_surface(trimesh.Trimesh(vertices, triangles, process=False), 4000, seed=seed)[0]
    start = Similarity(scale * (1.05 if scale != 1 else 1.0))
    fit = icp(SearchMesh(vertices, triangles), known(surface), start, with_scale=scale != 1)
    np.testing.assert_allclose(fit.transform(vertices), known(vertices), atol=1e-4)
    assert fit.converged and fit.rms < 1e-4


def test_icp_recovers_from_part_of_the_surface() -> None:
    vertices, triangles = bumpy_head()
    known = similarity_of((0.1, -0.08, 0.05), (4, -3, 5), 1.0)
    surface = trimesh.sample.sample_surface(trimesh.Trimesh(vertices, triangles, process=False), 8000, seed=3)[0]
    face = surface[surface[:, 2] > 20]
    fit = icp(SearchMesh(vertices, triangles), known(face), Similarity(), with_scale=False)
    np.testing.assert_allclose(fit.transform(vertices), known(vertices), atol=1e-4)


def test_icp_leaves_out_what_lies_over_the_rim() -> None:
    vertices, triangles = bumpy_head()
    front = triangles[(vertices[triangles, 2] > 0).all(axis=1)]
    known = similarity_of((0.05, -0.04, 0.03), (2, -2, 3), 1.0)
    surface = trimesh.sample.sample_surface(trimesh.Trimesh(vertices, triangles, process=False), 8000, seed=4)[0]
    mesh, points = SearchMesh(vertices, front), known(surface[surface[:, 2] > -15])
    kept = icp(mesh, points, Similarity(), with_scale=False, overlap_only=True)
    np.testing.assert_allclose(kept.transform(vertices), known(vertices), atol=1e-4)
    everything = icp(mesh, points, Similarity(), with_scale=False)  # is drawn to the points that the mesh lacks
    assert np.abs(everything.transform(vertices) - known(vertices)).max() > 0.1


def test_icp_finds_the_center_and_size_of_a_sphere() -> None:
    # A sphere leaves the rotation open; the rest is known in closed form.
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=60)
    points = np.array([12.0, -7, 3]) + 80 * trimesh.creation.icosphere(subdivisions=3).vertices
    start = similarity_of((0.3, 0.2, 0), (0, 0, 0), 1.1)
    fit = icp(SearchMesh(sphere.vertices, sphere.faces), points, start, with_scale=True).transform
    np.testing.assert_allclose(fit.translation, [12, -7, 3], atol=0.01)
    assert fit.scale == pytest.approx(80 / 60, rel=1e-3)


@pytest.mark.parametrize("with_scale", [True, False])
def test_icp_does_not_reach_a_mirror_image(with_scale) -> None:
    vertices, triangles = bumpy_head()
    fit = icp(SearchMesh(vertices, triangles), vertices * [-1, 1, 1], Similarity(), with_scale=with_scale)
    assert np.linalg.det(fit.transform.rotation) == pytest.approx(1) and fit.transform.scale > 0
    assert fit.rms > 0.5


def test_icp_only_improves_on_its_start() -> None:
    vertices, triangles = bumpy_head()
    random = np.random.default_rng(6)
    mesh, points = SearchMesh(vertices, triangles), 60 * random.normal(size=(500, 3))  # nothing fits
    start = similarity_of(random.normal(size=3), 30 * random.normal(size=3), 1.2)
    before = 1.2 * np.sqrt(np.mean(mesh.nearest(start.inverse()(points)).distance ** 2))
    fit = icp(mesh, points, start, with_scale=True)
    after = fit.transform.scale * np.sqrt(np.mean(mesh.nearest(fit.transform.inverse()(points)).distance ** 2))
    assert after < before and fit.rms == pytest.approx(after, rel=1e-9)


def test_thin_keeps_points_and_repeats() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3))
    few = thin(points, 100)
    assert len(few) == 100 and np.array_equal(few, thin(points, 100)) and thin(points, 500) is points
    assert {tuple(row) for row in few} < {tuple(row) for row in points}


def test_sphere_crop_by_hand() -> None:
    points = np.array([[3.0, 4, 0], [3, 4, 0.01], [0, 0, 0], [-5, 0, 0]])
    assert sphere_crop(points, np.zeros(3), 5.0).tolist() == [True, False, True, True]
    with pytest.raises(RecfaceError, match=r"no scan point within 5 mm of \(99, 0, 0\)"):
        sphere_crop(points, np.array([99.0, 0, 0]), 5.0)


def test_mistakes_are_named() -> None:
    points = np.random.default_rng(1).normal(size=(7, 3))
    broken = points.copy()
    broken[4, 1] = np.nan
    with pytest.raises(RecfaceError, match="landmarks to align: landmark 4 is not finite"):
        procrustes(broken, points, with_scale=True)
    with pytest.raises(RecfaceError, match="N at least 3"):
        procrustes(points[:2], points[:2], with_scale=True)
    with pytest.raises(RecfaceError, match="landmarks to align to lie on one line"):
        procrustes(points, np.arange(7)[:, None] * np.ones(3), with_scale=True)
    square = SearchMesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    with pytest.raises(RecfaceError, match="only 0 scan points lie over the mesh"):
        icp(square, points + 100, Similarity(), with_scale=False, overlap_only=True)
