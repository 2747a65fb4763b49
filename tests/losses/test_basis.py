import numpy as np
import pytest
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel
from recface.face_model.residual import ResidualFaceModel
from recface.face_model.surface import reflect
from recface.losses.basis import (
    asymmetry,
    basis_terms,
    mirrored,
    on_sphere,
    orthogonality_loss,
    scan_loss,
    smoothness_loss,
    sphere_loss,
    symmetry_loss,
    umbrella_laplacian,
    vertex_loss,
)


def test_vertex_loss_is_the_mean_squared_vertex_distance():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 5, 7, 3))
    expected = ((a - b) ** 2).sum(axis=2).mean()
    flat = [torch.from_numpy(x.reshape(5, -1)) for x in (a, b)]
    assert float(vertex_loss(*flat, 7)) == pytest.approx(expected)
    rotation = torch.from_numpy(np.linalg.qr(generator.normal(size=(21, 21)))[0])
    assert float(vertex_loss(flat[0] @ rotation, flat[1] @ rotation, 7)) == pytest.approx(expected)


def test_sphere_loss():
    latents = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    assert float(sphere_loss(latents, 4.0)) == pytest.approx((1.0 + 4.0) / 2)
    zero = torch.zeros(3, 2, requires_grad=True)
    sphere_loss(zero, 2.0).backward()
    assert torch.isfinite(zero.grad).all()


def test_orthogonality_loss_sees_angles_and_not_lengths():
    basis = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    assert float(orthogonality_loss(basis)) == pytest.approx(0.5)  # 45 degrees: cosine squared
    assert float(orthogonality_loss(basis * torch.tensor([5.0, 0.1]))) == pytest.approx(0.5, rel=1e-5)
    assert float(orthogonality_loss(torch.diag(torch.tensor([3.0, 2.0, 1.0])))) == 0
    assert float(orthogonality_loss(torch.ones(4, 1))) == 0


def test_smoothness_loss_is_the_expected_laplacian():
    generator = np.random.default_rng(1)
    laplacian, basis = generator.normal(size=(12, 12)), generator.normal(size=(12, 3))
    expected = ((laplacian @ basis) ** 2).sum() / 4
    value = smoothness_loss(torch.from_numpy(basis), torch.from_numpy(laplacian.T @ laplacian), 4)
    assert float(value) == pytest.approx(expected)


@pytest.fixture
def reflection():
    """Reflection of three vertices, the first two mirroring each other: (9, 9)."""
    matrix = np.zeros((9, 9))
    for vertex, partner in enumerate((1, 0, 2)):
        for axis, sign in enumerate((-1, 1, 1)):
            matrix[3 * vertex + axis, 3 * partner + axis] = sign
    return matrix


def test_symmetry_loss_is_zero_for_a_span_that_holds_its_mirror_images(reflection):
    field = np.random.default_rng(2).normal(size=9)
    pair = torch.from_numpy(np.stack([field, reflection @ field], axis=1))
    matrix = torch.from_numpy(reflection)
    assert float(symmetry_loss(pair, matrix, 3)) == pytest.approx(0, abs=1e-12)
    assert float(symmetry_loss(pair[:, :1], matrix, 3)) > 0.01


def test_symmetry_loss_against_a_projector(reflection):
    basis = np.random.default_rng(3).normal(size=(9, 2))
    projector = basis @ np.linalg.pinv(basis)
    expected = (((np.eye(9) - projector) @ reflection @ basis) ** 2).sum() / 3
    assert float(symmetry_loss(torch.from_numpy(basis), torch.from_numpy(reflection), 3)) == pytest.approx(expected)


def test_gradients_of_the_scan_stage(reflection):
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(9, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    latents = torch.randn(4, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.randn(4, 9, dtype=torch.float64, generator=generator)
    matrix, rough = torch.from_numpy(reflection), torch.eye(9, dtype=torch.float64) * 2
    assert torch.autograd.gradcheck(lambda b, x: vertex_loss(x @ b.T, target, 3), (basis, latents))
    assert torch.autograd.gradcheck(lambda x: sphere_loss(x, 2.0), (latents,))
    assert torch.autograd.gradcheck(orthogonality_loss, (basis,))
    assert torch.autograd.gradcheck(lambda b: smoothness_loss(b, rough, 3), (basis,))
    assert torch.autograd.gradcheck(lambda b: symmetry_loss(b, matrix, 3), (basis,))


def test_on_the_sphere_norms_are_the_radius_and_directions_stay():
    latents = torch.randn(5, 7)
    points = on_sphere(latents, 3.0)
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(torch.cosine_similarity(points, latents), torch.ones(5))
    assert sphere_loss(points, 3.0).item() < 1e-10


def test_umbrella_laplacian_against_a_dense_graph():
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])  # a closed surface: a tetrahedron
    field = torch.randn(12, 2, dtype=torch.float64)
    adjacency = (np.ones((4, 4)) - np.eye(4)) / 3
    expected = np.einsum("vw,wck->vck", np.eye(4) - adjacency, field.view(4, 3, 2).numpy()).reshape(12, 2)
    np.testing.assert_allclose(umbrella_laplacian(field, triangles), expected)
    assert umbrella_laplacian(torch.ones(12, 1), triangles).abs().max() < 1e-6


def test_mirroring_is_that_of_shapes_and_a_mirrored_residual_of_a_symmetric_mode_is_no_asymmetry():
    arrays = toy_arrays()
    mirror = torch.from_numpy(arrays["mirror"])
    field = torch.randn(len(mirror) * 3, 2, dtype=torch.float64)
    shapes = field.T.reshape(2, -1, 3).numpy()
    np.testing.assert_allclose(mirrored(field, mirror).T.reshape(2, -1, 3), reflect(shapes, arrays["mirror"]))
    even, odd = field + mirrored(field, mirror), field - mirrored(field, mirror)
    assert asymmetry(even, even.flip(1), mirror).abs().max() < 1e-12
    assert asymmetry(odd, odd.flip(1), mirror).abs().max() < 1e-12
    torch.testing.assert_close(asymmetry(odd, even, mirror), -odd)


def test_an_untouched_basis_costs_nothing_and_every_term_has_a_gradient():
    model = ResidualFaceModel(FaceModel(**toy_arrays()))
    assert all(value.item() < 1e-10 for value in basis_terms(model).values())
    torch.manual_seed(0)
    with torch.no_grad():
        model.residual_steps.normal_()
    for name, value in basis_terms(model).items():
        (gradient,) = torch.autograd.grad(value, model.residual_steps, retain_graph=True)
        assert value.item() > 0 and gradient.abs().sum() > 0, name


def test_scan_loss_is_the_mean_square_distance():
    target = torch.zeros(2, 3, 3)
    shape = target.clone()
    shape[0, 0] = torch.tensor([3.0, 4.0, 0.0])
    torch.testing.assert_close(scan_loss(shape, target), torch.tensor(25 / 6))
