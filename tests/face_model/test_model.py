import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FLIP68, FaceModel
from recface.face_model.npz import validate


def random_parameters(model, batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(batch, model.num_identity, generator=generator)
    return identity, torch.rand(batch, model.num_expressions, generator=generator)


def test_shape_equals_a_plain_loop(toy):
    identity, expression = random_parameters(toy)
    arrays = toy_arrays()
    for row, (a, e) in enumerate(zip(identity.double().numpy(), expression.double().numpy(), strict=True)):
        expected = arrays["mean"].ravel().copy()
        for k in range(toy.num_identity):
            expected += arrays["identity_basis"][:, k] * arrays["identity_sigma"][k] * a[k]
        for k in range(toy.num_expressions):
            expected += arrays["expression_basis"][:, k] * e[k]
        np.testing.assert_allclose(toy.shape(identity, expression)[row], expected.reshape(-1, 3), atol=1e-4)


def test_neutral_is_expression_zero(toy):
    identity, expression = random_parameters(toy)
    torch.testing.assert_close(toy.shape(identity), toy.shape(identity, torch.zeros_like(expression)))


def test_landmarks_between_vertices_are_mixtures_of_the_full_decode():
    random = np.random.default_rng(3)
    vertices, weights = random.integers(0, 140, (68, 3)), random.dirichlet(np.ones(3), 68)
    model = FaceModel(**toy_arrays(), landmark_vertices=vertices, landmark_weights=weights)
    identity, expression = random_parameters(model)
    full = model.shape(identity, expression).double().numpy()
    expected = sum(weights[:, [corner]] * full[:, vertices[:, corner]] for corner in range(3))
    np.testing.assert_allclose(model.landmarks(identity, expression), expected, atol=1e-4)
    np.testing.assert_allclose(model.landmark_mean, model.landmarks(0 * identity)[0], atol=1e-5)


def test_expressions_are_whitened_where_they_are_signed(toy):
    _, expression = random_parameters(toy)
    assert toy.whitened_expression(expression) is expression
    signed = FaceModel(**toy_arrays(), expression_sigma=np.array([0.5, 1.0, 2.0]))
    torch.testing.assert_close(signed.whitened_expression(expression), expression * torch.tensor([2.0, 1.0, 0.5]))


def test_another_basis_is_not_the_files_own_any_more(toy):
    model = toy.changed(own_identity=np.eye(5), expression_sigma=np.ones(3))
    assert model.changed(name="other").own_identity is not None
    assert model.changed(identity_basis=model.identity_basis).own_identity is None
    learned = model.changed(expression_basis=model.expression_basis[:, :2], expression_names=["a", "b"])
    assert learned.expression_sigma is None and learned.own_identity is not None


def test_hundreds_of_modes_decode_to_a_tenth_of_a_micrometer():
    model = FaceModel(**toy_arrays(modes=300, expressions=100))
    identity, expression = random_parameters(model, batch=1)
    arrays = {field: array.astype(np.float64) for field, array in model.arrays().items()}
    moved = arrays["identity_basis"] @ (arrays["identity_sigma"] * identity[0].double().numpy())
    moved += arrays["expression_basis"] @ expression[0].double().numpy()
    expected = arrays["mean"] + moved.reshape(-1, 3)
    np.testing.assert_allclose(model.shape(identity, expression)[0].double(), expected, atol=1e-4)


def test_landmarks_are_the_rows_of_the_full_decode(any_model):
    identity, expression = random_parameters(any_model)
    for e in (None, expression):
        full = any_model.shape(identity, e)[:, any_model.landmarks68]
        torch.testing.assert_close(any_model.landmarks(identity, e), full, atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31 - 1))
def test_distance_of_weighted_parameters_is_distance_of_shapes(seed):
    model = FaceModel(**toy_arrays())
    a, b = random_parameters(model, 2, seed)[0]
    shapes = model.shape(torch.stack([a, b])).double()
    weighted = model.weighted(torch.stack([a, b])).double()
    assert (shapes[0] - shapes[1]).norm().item() == pytest.approx((weighted[0] - weighted[1]).norm().item(), rel=1e-4)
    rms = (shapes[0] - shapes[1]).square().sum(dim=1).mean().sqrt().item()
    assert model.root_mean_square(a - b).norm().item() == pytest.approx(rms, rel=1e-4)


def test_basis_is_orthonormal_and_sigma_descends(any_model):
    basis = any_model.identity_basis.double()
    gram = (basis.T @ basis).numpy()
    np.testing.assert_allclose(gram, np.eye(any_model.num_identity), atol=1e-5)
    sigma = any_model.identity_sigma
    assert (sigma > 0).all() and (sigma.diff() <= 0).all()


def test_decoding_stays_float32_under_autocast(toy):
    identity, expression = random_parameters(toy)
    expected = toy.shape(identity, expression)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shape, points = toy.shape(identity, expression), toy.landmarks(identity.bfloat16().float(), expression)
    assert shape.dtype == points.dtype == torch.float32
    torch.testing.assert_close(shape, expected)


def test_gradients_reach_both_parameters(toy):
    identity, expression = (p.requires_grad_() for p in random_parameters(toy))
    toy.shape(identity, expression).square().sum().backward()
    assert identity.grad.abs().sum() > 0 and expression.grad.abs().sum() > 0


def test_nothing_enters_a_checkpoint_but_buffers_follow_the_module(toy):
    assert toy.state_dict() == {}
    moved = toy.to(torch.float64)
    assert moved.mean.dtype == torch.float64 and moved.triangles.dtype == torch.int64


def test_model_neither_aliases_nor_changes_its_input():
    arrays = toy_arrays()
    model = FaceModel(**arrays)
    before = model.mean.clone()
    arrays["mean"][:] = 0
    torch.testing.assert_close(model.mean, before)


def test_checksum_tells_contents_apart():
    arrays = toy_arrays()
    reference = FaceModel(**arrays).checksum
    assert FaceModel(**toy_arrays()).checksum == reference
    arrays["mean"][0, 0] += 1.0
    assert FaceModel(**arrays).checksum != reference


def test_flip68_is_the_standard_map():
    assert sorted(FLIP68) == list(range(68)) and (FLIP68[FLIP68] == np.arange(68)).all()
    fixed = np.flatnonzero(np.arange(68) == FLIP68)
    assert fixed.tolist() == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [FLIP68[i] for i in (0, 17, 21, 31, 36, 39, 41, 48, 60, 67)] == [16, 26, 22, 35, 45, 42, 46, 54, 64, 65]


@pytest.mark.parametrize("name", ["face_model", pytest.param("ict", marks=pytest.mark.data)])
def test_real_models_keep_every_promise_of_the_interface(name, request):
    model = request.getfixturevalue(name)
    texts = {"name": model.name, "source": model.source, "licence": model.licence}
    strings = {key: np.array(value) for key, value in texts.items()}
    validate({**model.arrays(), **strings, "expression_names": np.array(model.expression_names)}, name)
    points = model.mean[model.landmarks68]
    assert points.mean(dim=0).abs().max() < 1e-4  # the origin
    mirror, landmarks = model.mirror.numpy(), model.landmarks68.numpy()
    assert (mirror[landmarks] == landmarks[FLIP68]).all() and len(set(landmarks)) == 68
    reflected = model.mean[model.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    assert (reflected - model.mean).abs().max() < 0.1
    assert (model.face_mask[model.mirror] == model.face_mask).all()
    assert len(set(model.expression_names)) == model.num_expressions >= 50

    assert points[45, 0] > 20 > -20 > points[36, 0]  # +x to the subject's left
    assert points[27, 1] > points[30, 1] > points[57, 1] > points[8, 1]  # +y up
    assert points[30, 2] == points[:, 2].max()  # +z out of the face
    normals = torch.linalg.cross(
        *(model.mean[model.triangles[:, k]] - model.mean[model.triangles[:, 0]] for k in (1, 2))
    )
    on_face = model.face_mask[model.triangles].all(dim=1)
    assert (normals[on_face, 2] > 0).float().mean() > 0.95  # triangles look outwards
    assert 120 < np.ptp(model.mean[model.face_mask, 0].numpy()) < 180
    assert 75 < (points[36] - points[45]).norm() < 100  # outer eye corners
    assert 0.15 < model.face_mask.float().mean() < 0.8
    assert model.face_mask[model.landmarks68[27:36]].all()


def test_a_changed_copy_keeps_all_other_fields():
    model = FaceModel(**toy_arrays(), latent_radius=5**0.5)
    copy = model.changed(name="other", latent_radius=None)
    assert (copy.name, copy.latent_radius, copy.licence) == ("other", None, model.licence)
    assert copy.checksum == model.checksum and copy.expression_names == model.expression_names
    assert model.changed(mean=model.mean + 1).checksum != model.checksum
