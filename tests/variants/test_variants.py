import copy

import pytest
import torch

from recface.errors import RecfaceError
from recface.settings.compose import compose_config
from recface.settings.run_settings import known_variants
from recface.variants import variant_class
from recface.variants.baseline import Baseline


def build(config, face_model, benchmark, stage=2, variant=None):
    torch.manual_seed(0)
    cls = variant_class(variant or config["variant"])
    return cls(config, face_model, benchmark.albedo_model, 12, stage=stage)


@pytest.mark.parametrize("variant", known_variants())
def test_every_term_has_a_weight_and_trains_something(variant, batch, face_model, benchmark):
    module = build(compose_config(f"+experiment={variant}", "scale=smoke"), face_model, benchmark, variant=variant)
    face = module.reconstruct(batch)
    terms = module.terms(batch, face)
    assert set(terms) <= set(module.weights)
    assert {"landmark", "pixel", "tikhonov_identity"} <= set(terms)
    total = sum(module.weights[name] * value for name, value in terms.items())
    total.backward()
    for part in ("encoders", "confidence"):
        gradients = [p.grad for p in getattr(module, part).parameters() if p.grad is not None]
        assert gradients and sum(g.abs().sum() for g in gradients) > 0


def test_sir_is_the_baseline_plus_three_terms(batch, face_model, benchmark, smoke_config):
    baseline = build(smoke_config, face_model, benchmark, variant="baseline")
    sir = build(smoke_config, face_model, benchmark, variant="sir")
    both = {
        name: module.eval().terms(batch, module.reconstruct(batch))
        for name, module in (("baseline", baseline), ("sir", sir))
    }
    assert set(both["sir"]) - set(both["baseline"]) == {"separation", "center", "prior"}
    for name, value in both["baseline"].items():  # the same initial weights, the same photos, the same draws
        torch.testing.assert_close(value, both["sir"][name], msg=name)


def test_the_center_in_millimeters_is_half_the_mean_squared_distance_of_vertices(batch, face_model, benchmark):
    named = batch["identity"] >= 0
    for space in ("shapes", "parameters"):
        config = compose_config("+experiment=sir", "scale=smoke", f"sir.center_space={space}")
        module = build(config, face_model, benchmark)
        face = module.reconstruct(batch)
        module.terms(batch, face)  # takes the batch into the centers
        again = module.eval().reconstruct(batch)
        found = module.terms(batch, again)["center"].item()
        own, centers = again.coefficients.identity[named], module.center.centers[batch["identity"][named]]
        if space == "shapes":
            centers = centers * len(face_model.mean) ** 0.5 / face_model.identity_sigma
            squared = (face_model.shape(own) - face_model.shape(centers)).square().sum(-1).mean(-1)
        else:
            squared = (own - centers).square().sum(-1)
        assert found == pytest.approx(0.5 * squared.mean().item(), rel=1e-3)


def test_the_ceiling_measures_the_distance_to_the_true_shape(batch, face_model, benchmark):
    module = build(compose_config("+experiment=supervised", "scale=smoke"), face_model, benchmark)
    face = module.reconstruct(batch)
    assert module.terms(batch, face)["shape"].item() == 0  # nothing is known of these
    known = torch.arange(len(batch["image"])) % 2 == 0
    true = torch.randn_like(face.coefficients.identity).masked_fill(~known[:, None], torch.nan)
    difference = face_model.shape(face.coefficients.identity[known]) - face_model.shape(true[known])
    expected = difference.square().sum(-1).mean(-1).sqrt().mean().item()
    found = module.terms(batch | {"identity_parameters": true}, face)["shape"].item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_prototypes_need_centers_that_are_shapes(face_model, benchmark):
    config = compose_config("+experiment=prototypes", "scale=smoke", "sir.center_space=parameters")
    with pytest.raises(RecfaceError, match="set sir.center_space=shapes"):
        build(config, face_model, benchmark)


def test_the_ceiling_needs_the_truth(face_model, benchmark):
    config = compose_config("+experiment=supervised", "scale=smoke", "data.truth=false")
    with pytest.raises(RecfaceError, match="set data.truth=true"):
        build(config, face_model, benchmark)


def test_landmark_photos_get_no_identity_gradient(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    face = module.reconstruct(batch)
    identity = face.coefficients.identity
    identity.retain_grad()
    module.terms(batch, face)["separation"].backward()
    named = batch["identity"] >= 0
    assert identity.grad[named].abs().sum() > 0 and identity.grad[~named].abs().sum() == 0


def test_named_photos_get_no_landmark_gradient(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    face = module.reconstruct(batch)
    face.coefficients.translation.retain_grad()
    module.terms(batch, face)["landmark"].backward()
    gradient, named = face.coefficients.translation.grad, batch["identity"] >= 0
    assert gradient[~named].abs().sum() > 0 and gradient[named].abs().sum() == 0


def test_stage1_begins_with_landmarks_alone(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark, stage=1, variant="baseline")
    assert module.reconstruct(batch).image is None
    assert "pixel" not in module.terms(batch, module.reconstruct(batch))


def test_half_of_the_albedos_are_mirrored_by_seed_and_step(face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    albedo = benchmark.albedo_model(torch.randn(64, benchmark.albedo_model.num_modes))
    rows, mirrored, counts = module._rendered_rows(128)
    assert counts and rows.tolist() == list(range(0, 128, 2)) and 16 < mirrored.sum() < 48
    mixed = module._mirror(albedo, mirrored)
    torch.testing.assert_close(mixed[mirrored], albedo[mirrored][:, face_model.mirror])
    torch.testing.assert_close(mixed[~mirrored], albedo[~mirrored])
    torch.rand(5)
    assert torch.equal(module._rendered_rows(128)[1], mirrored)
    module.share = (2, 4)  # the rows 2, 6, 10, ... of the batch
    rows, part, _ = module._rendered_rows(32)
    assert rows.tolist() == list(range(32)) and torch.equal(part, mirrored[1::2])
    module.share = (1, 4)
    assert not module._rendered_rows(32)[2]


def test_perceptual_term_uses_a_frozen_copy_of_the_trunk(batch, face_model, benchmark, smoke_config):
    config = copy.deepcopy(smoke_config)
    config["loss"]["perceptual"] = 1.0
    module = build(config, face_model, benchmark)
    module.freeze_trunk_for_perceptual()
    face = module.reconstruct(batch)
    value = module.terms(batch, face)["perceptual"]
    value.backward()
    assert torch.isfinite(value) and all(p.grad is None for p in module.frozen_trunk.parameters())
    assert sum(p.grad.abs().sum() for p in module.encoders.albedo.parameters() if p.grad is not None) > 0
    assert not any(key.startswith(("frozen_trunk", "face_model", "albedo_model")) for key in module.trained_state())


def test_without_confidence_net(batch, face_model, benchmark, smoke_config):
    config = copy.deepcopy(smoke_config)
    config["model"]["confidence"] = False
    module = build(config, face_model, benchmark)
    face = module.reconstruct(batch)
    assert face.confidence is None and torch.isfinite(module.terms(batch, face)["pixel"])


def test_terms_of_each_source_add_up_and_change_nothing(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    with torch.no_grad():  # centers that have seen these people
        module.terms(batch, module.reconstruct(batch))
    face = module.reconstruct(batch)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    stream = torch.get_rng_state()
    named, marked = (module.source_terms(batch, face)[source] for source in (0, 1))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream) and module.center.training and module.encoders.training
    assert "landmark" not in named and not {"separation", "center"} & set(marked)
    together = {name: float(value.detach()) for name, value in module.eval().terms(batch, face).items()}
    # all samples with the label of a term are of one source, so its value is that of the whole batch
    assert named["separation"] == pytest.approx(together["separation"], rel=1e-5)
    assert named["center"] == pytest.approx(together["center"], rel=1e-5)
    assert marked["landmark"] == pytest.approx(together["landmark"], rel=1e-5)
    for term in ("pixel", "tikhonov_identity"):  # half of the samples each
        assert (named[term] + marked[term]) / 2 == pytest.approx(together[term], rel=1e-4)


def test_a_part_of_a_reconstruction_is_numbered_anew(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    face = module.reconstruct(batch)
    chosen = torch.zeros(8, dtype=torch.bool)
    chosen[face.rows[1:3]] = True
    part = face.select(chosen)
    assert torch.equal(batch["image"][chosen][part.rows], batch["image"][face.rows[1:3]])
    assert torch.equal(part.image, face.image[1:3]) and torch.equal(part.confidence.pixel, face.confidence.pixel[1:3])
    unseen = ~torch.isin(torch.arange(8), face.rows)
    assert face.select(unseen).image is None and len(face.select(unseen).landmarks) == int(unseen.sum())


def test_a_nan_names_its_term(batch, face_model, benchmark, smoke_config):
    module = build(smoke_config, face_model, benchmark)
    with torch.no_grad():
        for parameter in module.encoders.shape.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(RecfaceError, match="loss term '.*' is NaN"):
        module.training_step(batch, 0)


@pytest.mark.parametrize(
    ("row", "parent", "keys"),
    [
        ("no_kl", "sir", {"sir.prior": 0.0}),
        ("no_center", "sir", {"sir.center": 0.0}),
        ("sir_s8", "sir", {"sir.softmax_scale": 8.0}),
        ("sir_s32", "sir", {"sir.softmax_scale": 32.0}),
        ("sir_s64", "sir", {"sir.softmax_scale": 64.0}),
        ("sir", "baseline", {"variant": "sir", "sir": ...}),
        ("sfm", "sir", {"variant": "sfm", "sir": ..., "sfm": ...}),
        ("sfm_no_sphere", "sfm", {"sfm.sphere": 0.0, "sfm.prior": 0.023, "sfm.scan.sphere": False}),
        ("sfm_no_images", "sfm", {"sfm.learn_basis": False}),
        ("sir_on_sfm", "sir", {"sfm": ...}),
    ],
)
def test_an_experiment_differs_from_its_parent_in_what_it_ablates_alone(row, parent, keys):
    def flat(config, prefix=""):
        for key, value in config.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    configs = [compose_config(f"+experiment={name}") for name in (row, parent)]
    assert configs[0]["parent"] == parent and configs[0]["name"] == row
    groups = set(configs[0]) ^ set(configs[1])  # a whole group counts as one difference
    mine, theirs = (dict(flat(config)) for config in configs)
    differing = {key for key in mine | theirs if mine.get(key) != theirs.get(key)}
    differing -= {"name", "parent", "title", "tables", "trainer.conflict"}  # the last measures, and changes no result
    assert {key.partition(".")[0] if key.partition(".")[0] in groups else key for key in differing} == set(keys)
    for key, value in keys.items():
        assert value is ... or mine[key] == value


def test_baseline_configuration_has_no_keys_it_does_not_read():
    assert "sir" not in compose_config("+experiment=baseline") and variant_class("baseline") is Baseline


@pytest.mark.parametrize("steps", [1, 2, 9, 19])
def test_every_length_of_a_stage_has_a_schedule(face_model, benchmark, steps):
    config = compose_config("+experiment=baseline", "scale=smoke", f"scale.stage2_steps={steps}")
    made = build(config, face_model, benchmark).configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert all(0 < rate <= config["optimizer"]["stage2_rate"] for rate in rates)
