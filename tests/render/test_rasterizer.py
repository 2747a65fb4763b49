import sys

import numpy as np
import pytest
import torch

from recface.errors import RecfaceError
from recface.render import rasterize

CORNER = torch.tensor([[[-1.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # image's top left, by hand
ONE = torch.tensor([[0, 1, 2]])


def brute_force(points: np.ndarray, triangles: np.ndarray, size: int) -> np.ndarray:
    """Every pixel against every face, with barycentric coordinates from a linear solve."""
    index, nearest = np.full((size, size), -1), np.full((size, size), -np.inf)
    column, row = np.meshgrid(np.arange(size), np.arange(size))
    centers = np.stack([(2 * column + 1) / size - 1, 1 - (2 * row + 1) / size, np.ones((size, size))])
    for face, corners in enumerate(triangles):
        system = np.vstack([points[corners, :2].T, np.ones(3)])
        weights = np.einsum("ij,jrc->irc", np.linalg.inv(system), centers)
        depth = np.einsum("i,irc->rc", points[corners, 2], weights)
        better = (weights > 0).all(0) & (depth > nearest)
        index[better], nearest[better] = face, depth[better]
    return index


@pytest.mark.parametrize("backend", ["numba", "pytorch3d"])
def test_frame_and_background(backend) -> None:
    expected = torch.full((1, 8, 8), -1)
    for row in range(4):
        expected[0, row, : 3 - row] = 0  # the diagonal's centers lie on the edge: see the next line
    got = rasterize(CORNER * 0.999 - torch.tensor([0.001, -0.001, 0.0]), ONE, 8, backend)
    assert got.dtype == torch.int64
    assert torch.equal(got, expected)


@pytest.mark.parametrize("backend", ["numba", "pytorch3d"])
def test_larger_depth_is_nearer_and_both_sides_are_seen(backend) -> None:
    front, back = CORNER + torch.tensor([0.0, 0.0, 0.5]), CORNER
    points = torch.cat([front, back], dim=1)
    for triangles in ([[0, 1, 2], [3, 4, 5]], [[2, 1, 0], [3, 4, 5]]):
        index = rasterize(points, torch.tensor(triangles), 16, backend)
        assert set(index.unique().tolist()) == {-1, 0}
    assert rasterize(points, torch.tensor([[3, 4, 5], [0, 1, 2]]), 16, backend).max() == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [33, 64])
def test_agrees_with_pytorch3d_on_posed_meshes(scene_of, seed, size) -> None:
    scene = scene_of(seed)
    ours = rasterize(scene.projected, scene.triangles, size, "numba")
    theirs = rasterize(scene.projected, scene.triangles, size, "pytorch3d")
    assert (ours >= 0).float().mean() > 0.3
    assert (ours == theirs).float().mean() >= 0.999


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_pytorch3d_and_brute_force_on_crossing_triangles(seed) -> None:
    points = torch.rand(2, 120, 3, generator=torch.Generator().manual_seed(seed)) * 2.6 - 1.3
    triangles = torch.arange(120).reshape(40, 3)
    ours = rasterize(points, triangles, 48, "numba")
    assert (ours == rasterize(points, triangles, 48, "pytorch3d")).float().mean() >= 0.999
    reference = np.stack([brute_force(image, triangles.numpy(), 48) for image in points.double().numpy()])
    assert (ours.numpy() == reference).mean() >= 0.999


def test_neighbors_leave_no_gap_where_edges_cross_pixel_centers() -> None:
    size = 16
    axis = (2 * torch.arange(size) + 1) / size - 1  # vertices exactly on pixel centers
    grid = torch.stack([*torch.meshgrid(axis, axis, indexing="xy"), torch.zeros(size, size)], dim=-1)
    index = torch.arange(size * size).reshape(size, size)
    a, b, c, d = index[:-1, :-1].flatten(), index[1:, :-1].flatten(), index[1:, 1:].flatten(), index[:-1, 1:].flatten()
    triangles = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    covered = rasterize(grid.reshape(1, -1, 3), triangles, size, "numba")[0] >= 0
    assert covered[1:-1, 1:-1].all()


def test_double_precision_and_the_number_of_threads_change_nothing(scene_of, threads) -> None:
    scene = scene_of(batch=5, dtype=torch.float64)
    threads(1)
    alone = rasterize(scene.projected, scene.triangles, 48)
    threads(3)
    assert torch.equal(alone, rasterize(scene.projected, scene.triangles, 48))
    assert (alone == rasterize(scene.projected.float(), scene.triangles, 48)).float().mean() > 0.999


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_broken_vertex_only_loses_its_own_faces(bad) -> None:
    points = torch.cat([CORNER, torch.full((1, 1, 3), bad)], dim=1)
    index = rasterize(points, torch.tensor([[0, 1, 3], [0, 1, 2]]), 8, "numba")
    assert torch.equal(index == 1, rasterize(CORNER, ONE, 8, "numba") == 0)
    assert (index != 0).all()


def test_a_vertex_far_away_is_clipped() -> None:
    points = torch.tensor([[[-1e30, -1e30, 0.0], [1e30, -1e30, 0.0], [0.0, 1e30, 0.0]]], dtype=torch.float64)
    assert (rasterize(points, ONE, 8, "numba") == 0).all()


def test_gives_no_gradient(scene) -> None:
    projected = scene.projected.requires_grad_()
    assert not rasterize(projected, scene.triangles, 16).requires_grad


@pytest.mark.parametrize(
    ("size", "backend", "message"),
    [
        (0, "auto", ">= 1"),
        (64, "opengl", "not 'opengl'"),
    ],
)
def test_user_errors(size, backend, message) -> None:
    with pytest.raises(RecfaceError, match=message) as caught:
        rasterize(CORNER, ONE, size, backend)
    assert "\n" not in str(caught.value)


def test_missing_pytorch3d_is_said_in_one_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    with pytest.raises(RecfaceError, match="easypytorch3d") as caught:
        rasterize(CORNER, ONE, 8, "pytorch3d")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_auto_is_pytorch3d_on_cuda(scene) -> None:
    there = rasterize(scene.projected.cuda(), scene.triangles.cuda(), 64)
    assert there.is_cuda
    assert (there.cpu() == rasterize(scene.projected, scene.triangles, 64)).float().mean() >= 0.999
