import pytest
import torch
from pytorch3d.ops import interpolate_face_attributes
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes
from torch import Tensor

from recface.errors import RecfaceError
from recface.render import interpolate, rasterize, to_pixels
from recface.render.interpolation import interpolate_torch
from recface.render.rasterizer import to_pytorch3d

SIZE = 48


def by_pytorch3d(projected: Tensor, triangles: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Their whole path: values (B, C, S, S) and face ids (B, S, S)."""
    batch = len(projected)
    meshes = Meshes(to_pytorch3d(projected), triangles.expand(batch, -1, -1))
    faces, _, barycentric, _ = rasterize_meshes(
        meshes, image_size=SIZE, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False
    )
    values = interpolate_face_attributes(faces, barycentric, attributes[:, triangles].flatten(0, 1))
    local = torch.where(faces < 0, faces, faces % len(triangles))
    return values[..., 0, :].movedim(-1, 1), local[..., 0]


def by_plain_torch(projected: Tensor, triangles: Tensor, index: Tensor, attributes: Tensor) -> Tensor:
    return interpolate_torch(to_pixels(projected, index.shape[-1]), triangles, index, attributes)


@pytest.mark.parametrize("seed", range(3))
def test_values_and_gradients_match_pytorch3d(scene_of, seed) -> None:
    scene = scene_of(seed)
    projected, attributes = scene.projected.requires_grad_(), scene.albedo.requires_grad_()
    theirs, index = by_pytorch3d(projected, scene.triangles, attributes)
    target = torch.rand_like(theirs)

    def gradients(values: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((values - target).square().sum(), (projected, attributes))

    reference = gradients(theirs)
    assert all(gradient.norm() > 1 for gradient in reference)
    values, mask = interpolate(projected, scene.triangles, index, attributes)
    assert torch.equal(mask[:, 0], index >= 0)
    for ours in (values, by_plain_torch(projected, scene.triangles, index, attributes)):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)
        for got, expected in zip(gradients(ours), reference, strict=True):
            # PyTorch3D adds 1e-8 to every area, which shows on grazing faces; ours is nearer to double precision.
            assert (got - expected).norm() < 3e-3 * expected.norm()


def test_kernels_match_plain_pytorch_in_double(scene_of) -> None:
    scene = scene_of(dtype=torch.float64)
    projected = scene.projected.requires_grad_()
    attributes = torch.randn(3, projected.shape[1], 5, dtype=torch.float64, requires_grad=True)
    index = rasterize(projected, scene.triangles, SIZE)
    ours = interpolate(projected, scene.triangles, index, attributes)[0]
    plain = by_plain_torch(projected, scene.triangles, index, attributes)
    torch.testing.assert_close(ours, plain)
    weight = torch.randn_like(plain)
    got = torch.autograd.grad((ours * weight).sum(), (projected, attributes))
    expected = torch.autograd.grad((plain * weight).sum(), (projected, attributes))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_gradcheck(scene_of) -> None:
    scene = scene_of(batch=2, subdivisions=0, dtype=torch.float64)
    index = rasterize(scene.projected, scene.triangles, 8)
    assert (index >= 0).any()
    inputs = (scene.projected.requires_grad_(), scene.albedo.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, a: interpolate(p, scene.triangles, index, a)[0], inputs)


def test_a_linear_function_of_the_image_is_reproduced(scene) -> None:
    projected = scene.projected
    index = rasterize(projected, scene.triangles, SIZE)
    values, mask = interpolate(projected, scene.triangles, index, to_pixels(projected, SIZE)[..., :2])
    centers = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="xy")) + 0.5
    torch.testing.assert_close(values, torch.where(mask, centers, 0.0), atol=1e-3, rtol=0)


def test_same_result_for_any_number_of_threads(scene_of, threads) -> None:
    scene = scene_of(batch=5)
    index = rasterize(scene.projected, scene.triangles, SIZE)
    results = []
    for count in (1, 2, 5, 9):
        threads(count)
        projected, attributes = scene.projected.requires_grad_(), scene.albedo.clone().requires_grad_()
        values = interpolate(projected, scene.triangles, index, attributes)[0]
        results.append((values, *torch.autograd.grad(values.square().sum(), (projected, attributes))))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_an_empty_image_has_zero_gradient(scene) -> None:
    projected, attributes = (scene.projected + 9).requires_grad_(), scene.albedo.requires_grad_()
    index = rasterize(projected, scene.triangles, SIZE)
    values, mask = interpolate(projected, scene.triangles, index, attributes)
    values.sum().backward()
    assert not mask.any() and (values == 0).all()
    assert (projected.grad == 0).all() and (attributes.grad == 0).all()


def test_visibility_of_another_mesh_is_refused(scene) -> None:
    index = torch.full((3, 8, 8), len(scene.triangles))
    with pytest.raises(RecfaceError, match="rasterize the same mesh"):
        interpolate(scene.projected, scene.triangles, index, scene.albedo)
    with pytest.raises(RecfaceError, match="face_index must have shape"):
        interpolate(scene.projected, scene.triangles, torch.full((3, 8, 4), -1), scene.albedo)


@pytest.mark.parametrize("part", [(slice(1), slice(None)), (slice(None), slice(-1))])
def test_attributes_of_another_mesh_are_refused(scene, part) -> None:
    index = torch.full((3, 8, 8), -1)
    with pytest.raises(RecfaceError, match="attributes must have shape"):
        interpolate(scene.projected, scene.triangles, index, scene.albedo[part])
