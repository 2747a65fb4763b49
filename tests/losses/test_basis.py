import numpy as np
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel
from recface.face_model.region import reflect
from recface.face_model.residual import ResidualFaceModel
from recface.losses.basis import asymmetry, basis_terms, mirrored, roughness, scan_loss


def test_roughness_against_a_dense_graph():
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])  # a closed surface: a tetrahedron
    field = torch.randn(12, 2, dtype=torch.float64)
    adjacency = (np.ones((4, 4)) - np.eye(4)) / 3
    expected = np.einsum("vw,wck->vck", np.eye(4) - adjacency, field.view(4, 3, 2).numpy()).reshape(12, 2)
    np.testing.assert_allclose(roughness(field, triangles), expected)
    assert roughness(torch.ones(12, 1), triangles).abs().max() < 1e-6


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
