import numpy as np
import pytest
import torch

from recface.face_model import FaceModel
from recface.face_model.residual import ResidualFaceModel
from recface.run.stages import in_other_latents
from recface.settings.compose import compose_config
from recface.variants.baseline import Baseline
from recface.variants.sfm import SFM


def build(face_model, benchmark, *overrides):
    config = compose_config("scale=smoke", *(overrides or ("+experiment=sfm",)))
    torch.manual_seed(0)
    return SFM(config, face_model, benchmark.albedo_model, 12, stage=2)


class Scans:
    def __init__(self, model, count=5):
        random = np.random.default_rng(0)
        self.latents = random.normal(size=(count, model.num_identity)).astype(np.float32)
        self.expression = np.zeros((count, model.num_expressions), np.float32)
        with torch.no_grad():
            self.scans = model.shape(torch.from_numpy(self.latents)).numpy() + 1.0


def test_every_term_has_a_weight_and_the_basis_gets_gradients_of_photos_and_scans(batch, face_model, benchmark):
    module = build(face_model, benchmark)
    module.scans = Scans(face_model)
    terms = module.terms(batch, module.reconstruct(batch))
    assert set(terms) <= set(module.weights) and {"sphere", "separation", "center", "scans", "basis_smooth"} <= set(
        terms
    )
    assert terms["scans"].item() == pytest.approx(3, rel=1e-3)  # every vertex is off by (1, 1, 1) mm
    for name in ("landmark", "pixel", "scans"):
        (gradient,) = torch.autograd.grad(terms[name], module.face_model.residual_steps, retain_graph=True)
        assert gradient.abs().sum() > 0, name


def test_latents_are_pulled_to_the_sphere_and_not_to_the_origin(batch, face_model, benchmark):
    module = build(face_model, benchmark)
    assert module.weights["tikhonov_identity"] == 0 and "prior" not in module.terms(batch, module.reconstruct(batch))
    assert module.radius == pytest.approx(module.config["sfm"]["radius"] * np.sqrt(face_model.num_identity))
    gaussian = build(face_model, benchmark, "+experiment=sfm_no_sphere")
    terms = gaussian.terms(batch, gaussian.reconstruct(batch))
    assert "prior" in terms and "sphere" not in terms and gaussian.weights["tikhonov_identity"] > 0


def test_without_images_the_basis_is_fixed(batch, face_model, benchmark):
    module = build(face_model, benchmark, "+experiment=sfm_no_images")
    assert module.face_model is face_model and module.exported() == (face_model, None)
    assert not any(name.startswith("basis_") for name in module.terms(batch, module.reconstruct(batch)))


def test_the_learned_basis_is_in_the_state_and_comes_back(face_model, benchmark):
    module = build(face_model, benchmark)
    with torch.no_grad():
        module.face_model.residual_steps.normal_()
    other = build(face_model, benchmark)
    other.load_state_dict(module.trained_state(), strict=False)
    torch.testing.assert_close(other.face_model.residual, module.face_model.residual)
    assert isinstance(other.face_model, ResidualFaceModel)


def test_stage_1_in_other_latents_decodes_to_the_same_shapes(batch, face_model, benchmark):
    config = compose_config("scale=smoke")
    torch.manual_seed(0)
    first = Baseline(config, face_model, benchmark.albedo_model, 12, stage=1).eval()
    torch.nn.init.normal_(first.encoders.shape.head.weight, std=0.3)
    arrays, turn = (
        face_model.arrays(),
        np.linalg.qr(np.random.default_rng(0).normal(size=(face_model.num_identity,) * 2))[0],
    )
    arrays["identity_basis"] = arrays["identity_basis"] @ turn
    arrays["identity_sigma"] = np.sort(np.random.default_rng(1).uniform(2, 50, len(turn)))[::-1].copy()
    names = {"name": "turned", "source": "", "licence": "", "expression_names": face_model.expression_names}
    model = FaceModel(**arrays, **names)
    second = Baseline(config, model, benchmark.albedo_model, 12, stage=2).eval()
    second.load_state_dict(in_other_latents(first.trained_state(), face_model, model), strict=False)
    with torch.no_grad():
        shapes = [module.face_model.shape(module(batch["image"]).identity) for module in (first, second)]
    assert (shapes[0] - face_model.mean).abs().max() > 1
    torch.testing.assert_close(shapes[1], shapes[0], rtol=1e-4, atol=5e-3)


def test_directions_of_shapes_separate_by_what_can_be_seen(batch, face_model, benchmark):
    sharp = ("+experiment=sfm", "sfm.softmax_scale=16")
    module, other = build(face_model, benchmark, *sharp, "sfm.separate=shapes"), build(face_model, benchmark, *sharp)
    with torch.no_grad():
        for one in (module, other):
            torch.nn.init.normal_(one.encoders.shape.head.weight, std=0.1)
            one.load_state_dict(module.state_dict())
            one.face_model.residual_steps.normal_(generator=torch.Generator().manual_seed(1))
        face, plain = module.reconstruct(batch), other.reconstruct(batch)
        found = module.terms(batch, face)["separation"].item()
        assert other.terms(batch, plain)["separation"].item() != pytest.approx(found, rel=0.02)
    latents = face.coefficients.identity.double().numpy()
    basis = module.face_model.basis_mm.double().detach().numpy()
    directions = latents @ np.linalg.cholesky(basis.T @ basis)
    # The directions' cosines are those of the shapes' offsets in space.
    offsets = latents @ basis.T
    np.testing.assert_allclose(directions @ directions.T, offsets @ offsets.T, rtol=1e-6)
    named = batch["identity"].numpy() >= 0
    classes, person = module.separation.weight.double().detach().numpy(), batch["identity"].numpy()[named]
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (directions[named], classes)]
    logits = units[0] @ units[1].T
    logits[np.arange(len(person)), person] -= module.config["sfm"]["margin"]
    logits *= module.config["sfm"]["softmax_scale"]
    expected = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(person)), person]).mean()
    assert found == pytest.approx(expected, rel=1e-4)
