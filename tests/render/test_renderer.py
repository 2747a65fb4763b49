import math

import pytest
import torch
import trimesh
from torch import Tensor

from recface.errors import RecfaceError
from recface.render import Renderer, Rendering, euler_to_matrix, interpolate, matrix_to_euler, rasterize, to_pixels
from recface.render.interpolation import interpolate_torch
from recface.render.light import irradiance_torch
from recface.render.normals import vertex_normals_torch


def arguments(scene) -> tuple[Tensor, ...]:
    return scene.vertices, scene.rotation, scene.scale, scene.translation, scene.albedo, scene.light


def render_sphere(light: Tensor, size: int = 64, radius: float = 0.8) -> Rendering:
    sphere = trimesh.creation.icosphere(4)
    points = torch.tensor(sphere.vertices, dtype=torch.float32)[None] * 100
    renderer = Renderer(torch.tensor(sphere.faces), size)
    one = torch.ones(1)
    return renderer(points, torch.eye(3)[None], one * radius / 100, torch.zeros(1, 2), torch.ones_like(points), light)


def test_whole_path_against_plain_pytorch_and_pytorch3d(scene) -> None:
    vertices, rotation, scale, translation, albedo, light = arguments(scene)
    # Angles, not the matrix: gradients off the rotation group depend on how normals are turned, and mean nothing.
    inputs = (vertices, matrix_to_euler(rotation), scale, translation, albedo, light)
    inputs = vertices, angles, scale, translation, albedo, light = [value.clone().requires_grad_() for value in inputs]
    rotation = euler_to_matrix(angles)
    ours = Renderer(scene.triangles, 48)(vertices, rotation, scale, translation, albedo, light)
    index = rasterize(ours.projected, scene.triangles, 48, "pytorch3d")
    assert (ours.face_index == index).float().mean() >= 0.999
    shading = irradiance_torch(vertex_normals_torch(vertices, scene.triangles) @ rotation.mT, light)
    pixels = to_pixels(ours.projected, 48)
    plain = interpolate_torch(pixels, scene.triangles, ours.face_index, albedo * shading)
    torch.testing.assert_close(ours.image, plain, atol=1e-3, rtol=0)
    weight = torch.rand_like(plain)
    got = torch.autograd.grad((ours.image * weight).sum(), inputs, retain_graph=True)
    expected = torch.autograd.grad((plain * weight).sum(), inputs)
    for one, other in zip(got, expected, strict=True):
        assert (one - other).norm() <= 2e-3 * other.norm()


@pytest.mark.parametrize("backend", ["numba", "pytorch3d"])
def test_backends_give_one_picture(scene, backend) -> None:
    image = Renderer(scene.triangles, 32, backend)(*arguments(scene)).image
    reference = Renderer(scene.triangles, 32)(*arguments(scene)).image
    different = (image - reference).abs().amax(1) > 1e-3
    assert different.float().mean() <= 0.001


def test_gradcheck_with_fixed_visibility(scene_of) -> None:
    scene = scene_of(batch=1, subdivisions=0, dtype=torch.float64)
    renderer = Renderer(scene.triangles, 6)
    index = renderer(*arguments(scene)).face_index
    # Scale and millimeters differ by a factor of 100, so each is checked in a unit of its own.
    unit = scene.vertices / 100

    def image(v: Tensor, r: Tensor, s: Tensor, t: Tensor, a: Tensor, light: Tensor) -> Tensor:
        return renderer(v * 100, r, s / 100, t, a, light, index).image

    inputs = (unit, scene.rotation, scene.scale * 100, *arguments(scene)[3:])
    assert torch.autograd.gradcheck(image, tuple(value.clone().requires_grad_() for value in inputs))


def test_constant_light_shows_the_albedo_and_the_disc() -> None:
    light = torch.zeros(1, 9, 3)
    light[:, 0] = torch.tensor([0.2, 0.5, 0.9])
    out = render_sphere(light)
    assert out.image.shape == (1, 3, 64, 64) and out.mask.shape == (1, 1, 64, 64) and out.mask.dtype == torch.bool
    expected = torch.where(out.mask, torch.tensor([0.2, 0.5, 0.9])[:, None, None], 0.0)
    torch.testing.assert_close(out.image, expected, atol=1e-5, rtol=0)
    assert out.mask.sum().item() == pytest.approx(math.pi * (0.8 * 32) ** 2, rel=0.02)


@pytest.mark.parametrize(("coefficient", "brighter"), [(1, "top"), (3, "right")])
def test_light_comes_from_where_it_says(coefficient, brighter) -> None:
    light = torch.zeros(1, 9, 3)
    light[:, coefficient] = 1
    gray = render_sphere(light).image[0].mean(0)
    halves = {"top": (gray[:32], gray[32:]), "right": (gray[:, 32:], gray[:, :32])}[brighter]
    assert halves[0].sum() > 100 and halves[1].sum() < -100


def test_light_stays_while_the_head_turns(scene) -> None:
    light = torch.zeros(1, 9, 3)
    light[:, 1] = 1
    still = render_sphere(light)
    points = torch.tensor(trimesh.creation.icosphere(4).vertices, dtype=torch.float32)[None] * 100
    renderer = Renderer(torch.tensor(trimesh.creation.icosphere(4).faces), 64)
    upside_down = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))[None]
    zero, scale = torch.zeros(1, 2), torch.full((1,), 0.008)
    turned = renderer(points, upside_down, scale, zero, torch.ones_like(points), light)
    both = still.mask & turned.mask
    assert (still.image - turned.image)[both.expand_as(still.image)].abs().max() < 0.05


def test_several_albedos_share_one_geometry(scene) -> None:
    renderer = Renderer(scene.triangles, 32)
    vertices, rotation, scale, translation, albedo, light = arguments(scene)
    stacked = renderer(vertices, rotation, scale, translation, torch.stack([albedo, 1 - albedo], dim=1), light)
    assert stacked.image.shape == (3, 2, 3, 32, 32)
    for image, colors in zip(stacked.image.unbind(1), (albedo, 1 - albedo), strict=True):
        alone = renderer(vertices, rotation, scale, translation, colors, light)
        torch.testing.assert_close(image, alone.image, atol=0, rtol=0)


def test_given_visibility_is_used(scene) -> None:
    renderer = Renderer(scene.triangles, 32)
    first = renderer(*arguments(scene))
    again = renderer(*arguments(scene), face_index=first.face_index)
    torch.testing.assert_close(again.image, first.image, atol=0, rtol=0)
    empty = renderer(*arguments(scene), face_index=torch.full_like(first.face_index, -1))
    assert not empty.mask.any() and (empty.image == 0).all()


def test_autocast_changes_nothing_and_gradients_keep_their_type(scene) -> None:
    renderer = Renderer(scene.triangles, 32)
    plain = renderer(*arguments(scene)).image
    half_light = scene.light.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(renderer(*arguments(scene)).image, plain, atol=0, rtol=0)
        image = renderer(*arguments(scene)[:5], half_light).image
    assert image.dtype == torch.float32
    image.sum().backward()
    assert half_light.grad.dtype == torch.bfloat16 and half_light.grad.abs().sum() > 0


def test_mask_is_that_of_interpolate(scene) -> None:
    out = Renderer(scene.triangles, 32)(*arguments(scene))
    mask = interpolate(out.projected, scene.triangles, out.face_index, scene.albedo)[1]
    assert torch.equal(out.mask, mask) and torch.equal(mask[:, 0], out.face_index >= 0)


def test_topology_moves_with_the_module_but_is_not_saved(scene) -> None:
    renderer = Renderer(scene.triangles, 32)
    assert not renderer.state_dict() and torch.equal(dict(renderer.named_buffers())["triangles"], scene.triangles)


def test_user_errors(scene) -> None:
    vertices, rotation, scale, translation, albedo, light = arguments(scene)
    with pytest.raises(RecfaceError, match="backend must be one of"):
        Renderer(scene.triangles, 64, "nvdiffrast")(*arguments(scene))
    with pytest.raises(RecfaceError, match="albedo must have shape"):
        Renderer(scene.triangles, 32)(vertices, rotation, scale, translation, albedo[:, :-1], light)
