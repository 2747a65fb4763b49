import numpy as np
import pytest
import torch
import trimesh

from recface.errors import RecfaceError
from recface.render import vertex_normals
from recface.render.normals import vertex_normals_torch


@pytest.mark.parametrize("function", [vertex_normals, vertex_normals_torch])
def test_matches_trimesh(scene_of, function) -> None:
    scene = scene_of(dtype=torch.float64)
    got = function(scene.vertices, scene.triangles)
    for vertices, normals in zip(scene.vertices, got, strict=True):
        mesh = trimesh.Trimesh(vertices.numpy(), scene.triangles.numpy(), process=False)
        # Trimesh's own average of unit face normals, weighted by area.
        triangles = scene.triangles.numpy()
        sums = np.zeros((len(vertices), 3))
        np.add.at(sums, triangles.ravel(), np.repeat(mesh.face_normals * mesh.area_faces[:, None], 3, axis=0))
        np.testing.assert_allclose(normals, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-9)


def test_a_sphere_has_radial_normals_that_point_outwards() -> None:
    sphere = trimesh.creation.icosphere(4)
    points = torch.tensor(sphere.vertices, dtype=torch.float32)
    normals = vertex_normals(points[None], torch.tensor(sphere.faces))
    assert ((normals[0] * points).sum(-1) > 0.999).all()


def test_gradients_are_exact(scene_of) -> None:
    scene = scene_of(batch=2, subdivisions=0, dtype=torch.float64)
    vertices = scene.vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, scene.triangles), (vertices,))


def test_gradients_match_plain_pytorch_also_where_they_are_zero(scene_of) -> None:
    scene = scene_of(dtype=torch.float64)
    vertices = scene.vertices.requires_grad_()
    weight = torch.randn_like(vertices)
    weight[:, vertices[0, :, 2] < 0] = 0
    ours, plain = (
        torch.autograd.grad((function(vertices, scene.triangles) * weight).sum(), vertices)[0]
        for function in (vertex_normals, vertex_normals_torch)
    )
    assert plain.abs().max() > 1e-3
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("function", [vertex_normals, vertex_normals_torch])
def test_lone_vertices_and_flat_faces_give_zero(function) -> None:
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]], requires_grad=True)
    normals = function(vertices, torch.tensor([[0, 1, 2]]))
    normals.sum().backward()
    assert (normals == 0).all() and (vertices.grad == 0).all()


def test_strided_and_expanded_vertices(scene) -> None:
    one = scene.vertices[:1]
    expanded = vertex_normals(one.expand(3, -1, -1), scene.triangles)
    torch.testing.assert_close(expanded[2], vertex_normals(one, scene.triangles)[0], atol=0, rtol=0)
    swapped = one.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(vertex_normals(swapped, scene.triangles), expanded[:1], atol=0, rtol=0)


@pytest.mark.parametrize("triangles", [torch.tensor([[0, 1, 9]]), torch.tensor([[0, 1, -1]]), torch.tensor([0, 1, 2])])
def test_triangles_of_another_mesh_are_refused(triangles) -> None:
    with pytest.raises(RecfaceError, match="triangles"):
        vertex_normals(torch.zeros(1, 3, 3), triangles)
