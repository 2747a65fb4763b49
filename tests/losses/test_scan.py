"""Terms of the scan stage, against closed forms and full-space references, and their gradients."""

import numpy as np
import pytest
import torch

from recface.losses.basis import orthogonality_loss, smoothness_loss, sphere_loss, symmetry_loss, vertex_loss


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
    """Of three vertices, of which the first two mirror each other: (9, 9)."""
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


def test_gradients(reflection):
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
