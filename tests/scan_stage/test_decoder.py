"""The scan stage's start, its auto-decoder, and the models of the table beside it."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel
from recface.scan_stage import shape_models
from recface.scan_stage.decoder import ScanDecoder
from recface.scan_stage.principal import person_means, principal_scores, two_part_start
from recface.scan_stage.scans import draw_scans
from recface.settings.compose import compose_config


@pytest.fixture(scope="module")
def toy():
    arrays = toy_arrays()
    arrays["expression_basis"] = 3 * arrays["expression_basis"]
    arrays["expression_names"] = ["one", "two", "three"]
    return FaceModel(**arrays)


@pytest.fixture(scope="module")
def scans(toy):
    return draw_scans(toy, 40, 4, 0.05, 0, "train")


@pytest.fixture(scope="module")
def principal(scans):
    return principal_scores(scans, 12, seed=0)


@pytest.fixture(scope="module")
def settings():
    return compose_config("+sfm=default")["sfm"]["scan"]


def decoder(toy, scans, principal, settings, **changes):
    start = two_part_start(principal, scans.identity, 5, 3, None)
    parts = principal.roughness(toy.triangles.numpy()), principal.reflection(toy.mirror.numpy())
    return ScanDecoder(settings | changes, start, scans.identity, *parts, toy.num_vertices, learn_expression=True)


def test_start_with_a_known_expression_finds_the_people(toy, scans, principal):
    start = two_part_start(principal, scans.identity, 5, 0, toy.expression_basis.numpy())
    offset = principal.axes @ start.identity_basis @ start.latents.T
    neutral = scans.clean(slice(None), expression=False).reshape(len(scans), -1)
    error = (start.mean[:, None] + offset - neutral.T).reshape(toy.num_vertices, 3, -1)
    assert (
        np.linalg.norm(error, axis=1).mean()
        < 0.35 * np.linalg.norm((neutral - neutral.mean(axis=0)).reshape(len(scans), -1, 3), axis=2).mean()
    )
    rebuilt = start.mean + (principal.axes @ (start.identity_basis @ start.latents.T)).T
    rebuilt = rebuilt + start.expression @ toy.expression_basis.numpy().T
    assert np.abs(rebuilt - scans.clean(slice(None)).reshape(len(scans), -1)).mean() < 0.1


def test_person_means():
    values, identity = np.random.default_rng(0).normal(size=(7, 2)), np.array([0, 1, 0, 2, 2, 2, 1])
    expected = np.stack([values[identity == person].mean(axis=0) for person in range(3)])
    np.testing.assert_allclose(person_means(values, identity), expected)


def test_terms_are_those_of_the_whole_mesh(toy, scans, principal, settings):
    """Principal coordinates change no term: against the mesh, with dense matrices."""
    module = decoder(toy, scans, principal, settings)
    row = torch.arange(0, 160, 9)
    batch = {"row": row, "identity": module.identity[row], "scores": torch.from_numpy(principal.scores[row]).float()}
    terms = {name: float(value.detach()) for name, value in module.terms(batch).items()}
    basis = principal.axes @ module.basis.detach().numpy()
    blend = principal.axes @ module.blend.detach().numpy()
    latents, expression = (e.weight.detach().numpy()[row] for e in (module.latents, module.expression))
    offset = latents @ basis.T + expression @ blend.T
    target = principal.scores[row] @ principal.axes.T
    assert terms["vertex"] == pytest.approx(((offset - target) ** 2).sum() / len(row) / toy.num_vertices, rel=1e-4)
    from recface.face_model.surface import graph_laplacian, reflect

    fields = basis.reshape(toy.num_vertices, -1)
    rough = (graph_laplacian(toy.triangles.numpy(), toy.num_vertices) @ fields) ** 2
    assert terms["smoothness"] == pytest.approx(rough.sum() / toy.num_vertices, rel=1e-4)
    mirrored = reflect(basis.T.reshape(5, -1, 3), toy.mirror.numpy()).reshape(5, -1).T
    outside = mirrored - basis @ np.linalg.lstsq(basis, mirrored, rcond=None)[0]
    assert terms["symmetry"] == pytest.approx((outside**2).sum() / toy.num_vertices, rel=1e-3)
    centers = person_means(module.latents.weight.detach().numpy(), scans.identity)[scans.identity[row]]
    assert terms["center"] == pytest.approx(0.5 * ((latents - centers) ** 2).sum(axis=1).mean(), rel=1e-4)
    assert terms["sphere"] == pytest.approx(0, abs=1e-6) and terms["separation"] > 0


def test_gaussian_variant_has_the_prior_in_place_of_the_sphere(toy, scans, principal, settings):
    batch = {
        "row": torch.arange(8),
        "identity": torch.from_numpy(scans.identity[:8]),
        "scores": torch.from_numpy(principal.scores[:8]).float(),
    }
    sphere, plain = (decoder(toy, scans, principal, settings, sphere=flag) for flag in (True, False))
    common = set(sphere.terms(batch)) & set(plain.terms(batch))
    assert set(sphere.weights) - common == {"sphere", "separation"} and set(plain.weights) - common == {"prior"}
    assert set(sphere.terms(batch)) == set(sphere.weights) and set(plain.terms(batch)) == set(plain.weights)


def test_rows_of_the_table_against_scikit_learn(scans, principal):
    flat = scans[:].reshape(len(scans), -1)
    reference = PCA(6).fit(flat)
    model = shape_models.pca(principal, 6)
    np.testing.assert_allclose(np.linalg.norm(model.basis, axis=0), np.sqrt(reference.explained_variance_), rtol=1e-3)
    z = model.fit(flat[:9], strength=0.0)
    expected = reference.transform(flat[:9])
    np.testing.assert_allclose(np.abs(z * np.linalg.norm(model.basis, axis=0)), np.abs(expected), atol=0.05)
    lda = shape_models.pca_lda(principal, 6, scans.identity, 3)
    scores = principal.scores[:, :6] / principal.scores[:, :6].std(axis=0, ddof=1)
    direct = LinearDiscriminantAnalysis(solver="eigen", n_components=3).fit(scores, scans.identity)
    np.testing.assert_allclose(lda.encode(flat[:5], 0.0), direct.transform(z[:5]), atol=1e-6)
    white = shape_models.pca_whitened(principal, 6, scans.identity).to_latent(scores)
    within = white - person_means(white, scans.identity)[scans.identity]
    np.testing.assert_allclose(within.T @ within / (160 - 40), np.eye(6), atol=1e-6)


def test_two_part_pca_tells_identity_from_expression(scans, principal):
    model = shape_models.two_part_pca(principal, scans.identity, 5, 3, None)
    latents = model.encode(scans[:].reshape(len(scans), -1))
    within = latents - person_means(latents, scans.identity)[scans.identity]
    assert within.var() < 0.2 * latents.var()
    plain = shape_models.pca(principal, 8).encode(scans[:].reshape(len(scans), -1))
    other = plain - person_means(plain, scans.identity)[scans.identity]
    assert within.var() / latents.var() < other.var() / plain.var()


def test_encoding_is_the_posterior_mean(scans, principal):
    """By conditioning the joint Gaussian of coefficients and vertices."""
    from dataclasses import replace

    model = replace(shape_models.two_part_pca(principal, scans.identity, 5, 3, None), noise=0.04)
    flat = scans[:3].reshape(3, -1)
    prior = np.diag(model.spread**2)
    joint = model.basis @ prior @ model.basis.T + 0.04 * np.eye(len(model.mean))
    gain = np.linalg.solve(joint, model.basis @ prior).T
    expected = model.center + (flat - model.mean - model.basis @ model.center) @ gain.T
    np.testing.assert_allclose(model.fit(flat), expected, atol=1e-6)


def test_samples_of_a_sphere_lie_on_it(scans, principal):
    from dataclasses import replace

    model = replace(shape_models.two_part_pca(principal, scans.identity, 5, 3, None), radius=5**0.5)
    shapes = model.sample(50, np.random.default_rng(0))
    z = model.fit(shapes, strength=0.0)
    np.testing.assert_allclose(np.linalg.norm(z[:, :5], axis=1), 5**0.5, rtol=1e-4)
    latents = model.encode(shapes)
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 5**0.5, rtol=1e-9)
