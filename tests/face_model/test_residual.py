import numpy as np
import pytest
import torch
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel, load, save
from recface.face_model.residual import ResidualFaceModel, change_of_latents


@pytest.fixture
def learned():
    torch.manual_seed(1)
    model = ResidualFaceModel(FaceModel(**toy_arrays()), rate=0.5)
    with torch.no_grad():
        model.residual_steps.normal_(std=0.8)
    return model


def test_it_starts_as_the_fixed_model_and_only_the_residual_is_state():
    fixed = FaceModel(**toy_arrays())
    model = ResidualFaceModel(fixed)
    a, e = torch.randn(4, 5), torch.rand(4, 3)
    torch.testing.assert_close(model.shape(a, e), fixed.shape(a, e))
    torch.testing.assert_close(model.weighted(a).norm(dim=1), fixed.weighted(a).norm(dim=1), rtol=1e-4, atol=1e-4)
    assert list(model.state_dict()) == ["residual_steps"] and [name for name, _ in model.named_parameters()] == [
        "residual_steps"
    ]


def test_decoding_is_linear_in_basis_and_residual(learned):
    a, e = torch.randn(4, 5), torch.rand(4, 3)
    basis = (
        learned.identity_basis.double() * learned.identity_sigma
        + 0.5 * learned.residual_steps.double() * learned.identity_sigma / len(learned.identity_basis) ** 0.5
    )
    expected = learned.mean.flatten() + a.double() @ basis.T + e.double() @ learned.expression_basis.double().T
    torch.testing.assert_close(learned.shape(a, e).flatten(1).double(), expected, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(
        learned.landmarks(a, e), learned.shape(a, e)[:, learned.landmarks68], rtol=1e-5, atol=1e-3
    )


def test_weighted_parameters_have_the_distances_of_shapes(learned):
    a = torch.randn(6, 5)
    shapes = learned.shape(a).flatten(1).double()
    torch.testing.assert_close(
        torch.cdist(learned.weighted(a).double(), learned.weighted(a).double()),
        torch.cdist(shapes, shapes),
        rtol=1e-4,
        atol=1e-2,
    )


def test_the_export_decodes_the_same_and_keeps_norms_and_angles(learned, tmp_path):
    model, turn = learned.exported()
    a = torch.randn(6, 5)
    torch.testing.assert_close(model.shape(a @ turn), learned.shape(a), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close((a @ turn) @ (a @ turn).T, a @ a.T, rtol=1e-4, atol=1e-4)
    again = load(save(model, tmp_path / "sfm.npz"))  # which checks orthonormal columns and descending sigma
    torch.testing.assert_close(again.shape(a), model.shape(a))


def test_a_change_of_latents_finds_the_same_shapes_of_a_larger_model():
    arrays = toy_arrays(modes=5)
    source = FaceModel(**arrays)
    rng = np.random.default_rng(4)
    wider = np.concatenate([arrays["identity_basis"], rng.normal(size=(len(arrays["identity_basis"]), 3))], axis=1)
    # one column more for the mean, which differs
    moved = arrays["mean"] + 0.3 * rng.normal(size=arrays["mean"].shape)
    wider = np.concatenate([wider, (moved - arrays["mean"]).reshape(-1, 1)], axis=1)
    basis = np.linalg.qr(wider)[0] @ np.linalg.qr(rng.normal(size=(9, 9)))[0]
    sigma = np.sort(rng.uniform(1, 40, 9))[::-1].copy()
    target = FaceModel(**arrays | {"mean": moved, "identity_basis": basis, "identity_sigma": sigma})
    matrix, offset = change_of_latents(source, target)
    a = torch.randn(7, 5)
    torch.testing.assert_close(target.shape(a @ matrix.T + offset), source.shape(a), rtol=1e-4, atol=2e-3)
