import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from recface.errors import RecfaceError
from recface.render import irradiance, sh_basis
from recface.render.light import irradiance_torch


def sphere_quadrature(order: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors and weights (sum 1) that integrate polynomials on the sphere exactly to degree 2 order - 1."""
    z, weight = np.polynomial.legendre.leggauss(order)
    azimuth = 2 * np.pi * np.arange(2 * order) / (2 * order)
    z, azimuth = np.meshgrid(z, azimuth, indexing="ij")
    radius = np.sqrt(1 - z * z)
    points = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=-1).reshape(-1, 3)
    weights = np.repeat(weight / 2 / (2 * order), 2 * order)
    return torch.tensor(points), torch.tensor(weights)


def real_harmonics_by_scipy(points: np.ndarray) -> np.ndarray:
    """sqrt(4 pi) times the real harmonics without the Condon-Shortley sign, from SciPy's complex ones."""
    polar, azimuth = np.arccos(points[:, 2]), np.arctan2(points[:, 1], points[:, 0])
    columns = []
    for degree in range(3):
        for m in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(m), polar, azimuth)
            part = value.imag if m < 0 else value.real
            factor = np.sqrt(2) * (-1) ** m if m else 1.0
            columns.append(np.sqrt(4 * np.pi) * factor * part)
    return np.stack(columns, axis=-1)


def test_basis_matches_scipy() -> None:
    points, _ = sphere_quadrature()
    np.testing.assert_allclose(sh_basis(points), real_harmonics_by_scipy(points.numpy()), atol=1e-12)


def test_basis_is_orthonormal_under_the_mean_over_the_sphere() -> None:
    points, weights = sphere_quadrature()
    basis = sh_basis(points)
    gram = basis.T @ (weights[:, None] * basis)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=1e-12, rtol=0)


def test_first_function_is_exactly_one() -> None:
    assert (sh_basis(torch.randn(5, 4, 3))[..., 0] == 1).all()


def inputs(batch: int = 2, points: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(batch, points, 3, generator=generator).double(), dim=-1)
    return normals.requires_grad_(), torch.randn(batch, 9, 3, generator=generator).double().requires_grad_()


def test_irradiance_is_the_sum_of_basis_functions() -> None:
    normals, light = inputs()
    expected = np.einsum(
        "bnk,bkc->bnc",
        np.stack([real_harmonics_by_scipy(image) for image in normals.detach().numpy()]),
        light.detach().numpy(),
    )
    np.testing.assert_allclose(irradiance(normals, light).detach(), expected, atol=1e-12)
    np.testing.assert_allclose(irradiance_torch(normals, light).detach(), expected, atol=1e-12)


def test_irradiance_gradients_are_exact() -> None:
    normals, light = inputs()
    assert torch.autograd.gradcheck(irradiance, (normals, light))
    weight = torch.randn(2, 7, 3, dtype=torch.float64)
    weight[:, ::2] = 0  # rows without gradient take a short cut
    ours = torch.autograd.grad((irradiance(normals, light) * weight).sum(), (normals, light))
    plain = torch.autograd.grad((irradiance_torch(normals, light) * weight).sum(), (normals, light))
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(RecfaceError, match=r"\(B, 9, 3\)"):
        irradiance(torch.zeros(2, 5, 3), torch.zeros(2, 3, 9))
