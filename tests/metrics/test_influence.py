"""Metrics weighted by people, and the influence of each person on them."""

import numpy as np
import pytest
import torch

from recface.metrics import MeasuredShapes
from recface.metrics.evaluation import measured_blocks, measured_control, measured_photos
from recface.metrics.functional import (
    auc,
    control_auc,
    cross_verification,
    nmcd,
    prior_kl,
    reference_photos,
    tar_at_far,
)
from recface.metrics.functional.weights import pair_weights, photo_weights, weighted_mean
from recface.metrics.influence import influence_arrays, kept_influences, measure

PEOPLE = 24
UNWEIGHTED = ("silhouette", "calinski_harabasz", "davies_bouldin")


@pytest.fixture
def shapes(people) -> MeasuredShapes:
    return MeasuredShapes(
        people.predicted,
        people.identity,
        people.sigma,
        people.basis,
        people.mean,
        people.true,
        yaw_abs=people.yaw_abs,
        expression_norm=people.expression_norm,
        nme=2 + people.yaw_abs,
        folds=4,  # with ten, a draw may leave out all people of one
    ).checked()


def drawn(seed: int, people: int = PEOPLE) -> torch.Tensor:
    """Multiplicities of a bootstrap draw."""
    random = torch.Generator().manual_seed(seed)
    return torch.bincount(torch.randint(people, (people,), generator=random), minlength=people).double()


def neutral_photos(people) -> torch.Tensor:
    """(N,) bool, one photo a person."""
    rows = reference_photos(people.identity, people.yaw_abs, people.expression_norm)
    return torch.isin(people.index, rows)


def metrics_of(people, shapes):
    """All metrics in one function of the weights, under `<block>/<metric>`."""
    albedo, neutral, groups = people.index % 3, neutral_photos(people), people.identity % 2

    def metrics(weights):
        found = {
            "benchmark": shapes.metrics(weights),
            "conditions": shapes.under({"large_pose": people.yaw_abs > 0.4}, weights),
            "control": {
                kind: control_auc(people.predicted, people.identity, albedo, people.basis, kind, weights=weights)
                for kind in ("shape", "albedo")
            },
            "photos": cross_verification(
                people.predicted, people.identity, neutral, people.basis, people.sigma, weights, groups
            ),
        }
        return {f"{block}/{key}": value for block, values in found.items() for key, value in values.items()}

    return metrics


def test_weights_of_one_change_nothing(people, shapes) -> None:
    metrics = metrics_of(people, shapes)
    plain, ones = metrics(None), metrics(torch.ones(PEOPLE, dtype=torch.float64))
    assert len(plain) > 30
    for name, value in plain.items():
        assert float(value) == pytest.approx(float(ones[name]), rel=1e-12, abs=1e-15), name


def test_multiplicities_are_copies_of_the_people(people, shapes) -> None:
    """Weighted means, AUC, prior and NMCD against the same computed on photos that are there as often."""
    weights = drawn(1)
    person = torch.unique(people.identity, return_inverse=True)[1]
    times = weights[person].long()
    copied = people.index.repeat_interleave(times)
    photos = photo_weights(weights, people.identity)
    assert torch.equal(photos, times.double())
    assert float(weighted_mean(people.yaw_abs, photos)) == pytest.approx(float(people.yaw_abs[copied].double().mean()))
    assert float(prior_kl(people.predicted, photos)) == pytest.approx(float(prior_kl(people.predicted[copied])))
    pairs = shapes.pairs
    of_pairs = pair_weights(photos, pairs.first, pairs.second, pairs.same)
    expected = [
        times[i] if person[i] == person[j] else times[i] * times[j]
        for i, j in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    assert of_pairs.tolist() == [float(weight) for weight in expected]
    rows = torch.arange(len(pairs.same)).repeat_interleave(of_pairs.long())
    scores = -shapes.distances
    assert float(auc(scores, pairs.same, of_pairs)) == pytest.approx(float(auc(scores[rows], pairs.same[rows])))
    points = people.predicted.double()
    centers = torch.stack([points[person == p].mean(0) for p in range(PEOPLE)])
    within = (points - centers[person]).square().sum(1)[copied].mean()
    apart, number = 0.0, 0.0
    for i in range(PEOPLE):
        for j in range(PEOPLE):
            if i != j:
                apart += weights[i] * weights[j] * (centers[i] - centers[j]).square().sum()
                number += weights[i] * weights[j]
    assert float(nmcd(points, people.identity, weights)) == pytest.approx(float(within / (apart / number)))


def test_first_order_values_of_bootstrap_draws(people, shapes) -> None:
    """Half the step leaves a quarter of the error: what the influences miss is of second order."""
    metrics = metrics_of(people, shapes)
    values, influences = measure(metrics, PEOPLE)
    assert not [name for name in influences if any(part in name for part in UNWEIGHTED)]
    assert len(influences) > 22
    for seed in range(4):
        step = drawn(seed) - 1
        errors = {}
        for size in (1.0, 0.01, 0.005):
            exact = metrics(1 + size * step)
            errors[size] = {
                name: float(exact[name]) - values[name] - size * float(step @ influence) / PEOPLE
                for name, influence in influences.items()
            }
        for name, influence in influences.items():
            assert abs(errors[0.005][name]) <= 0.26 * abs(errors[0.01][name]) + 1e-9, name
            spread = float(influence.square().mean().sqrt()) / PEOPLE**0.5
            if not name.endswith(("prior_kl", "_acc")):  # so few people leave variances and folds far from linear
                assert abs(errors[1.0][name]) < 2 * spread + 1e-9, name


def test_influences_add_up_to_zero(people, shapes) -> None:
    for name, influence in measure(metrics_of(people, shapes), PEOPLE)[1].items():
        assert influence.shape == (PEOPLE,) and abs(float(influence.sum())) < 1e-9, name


def test_variance_is_that_of_leaving_people_out(people, shapes) -> None:
    """The infinitesimal jackknife against the delete-one jackknife."""
    metrics = metrics_of(people, shapes)
    _, influences = measure(metrics, PEOPLE)
    without = [metrics(1 - torch.eye(PEOPLE, dtype=torch.float64)[p]) for p in range(PEOPLE)]
    for name in (
        "benchmark/shape_error_mm",
        "benchmark/geometry_auc",
        "benchmark/nmcd_geometry",
        "benchmark/param_energy",
    ):
        left = np.array([float(values[name]) for values in without])
        deleted = (PEOPLE - 1) / PEOPLE * np.square(left - left.mean()).sum()
        infinitesimal = float(influences[name].square().sum()) / PEOPLE**2
        assert infinitesimal**0.5 == pytest.approx(deleted**0.5, rel=0.12), name


@pytest.mark.parametrize("far", [0.01, 0.05])
def test_spread_of_tar_is_that_of_other_people(far) -> None:
    """Each draw is of new people, whose impostors give a new threshold."""
    people, random, found = 60, np.random.default_rng(0), []
    own = np.eye(people, dtype=bool)
    first, second = (torch.from_numpy(axis.ravel()) for axis in np.indices((people, people)))
    for _ in range(150):
        gallery, probes = random.normal(size=(people, 6)) + 0.5 * random.normal(size=(2, people, 6))
        scores = -np.linalg.norm(probes[:, None] - gallery, axis=2)
        accepted = scores[own] > np.sort(scores[~own])[::-1][int(far * people * (people - 1))]
        pairs, same = torch.from_numpy(scores.ravel()), torch.from_numpy(own.ravel())
        values, influences = measure(
            lambda weights, pairs=pairs, same=same: {
                "tar": tar_at_far(pairs, same, far, pair_weights(weights, first, second, same))
            },
            people,
        )
        assert values["tar"] == pytest.approx(accepted.mean())
        found.append((accepted.mean(), influences["tar"].square().mean() / people, accepted.var() / people))
    rate, by_influence, by_known_threshold = np.array(found).T
    assert by_influence.mean() == pytest.approx(rate.var(ddof=1), rel=0.25)
    assert by_known_threshold.mean() < 0.75 * rate.var(ddof=1)


def test_stored_influences_name_their_metrics_and_people(people, shapes) -> None:
    chosen = people.yaw_abs > 0.4
    blocks, identities, arrays = measured_blocks(shapes, {"large_pose": chosen})
    assert identities.tolist() == sorted(set(people.identity.tolist()))
    assert set(blocks["conditions"]) == {f"large_pose/{key}" for key in ("shape_error_mm", "nme", "geometry_auc")}
    names = arrays["influence_test_metrics"].tolist()
    assert {"benchmark/geometry_auc", "benchmark/rank1", "conditions/large_pose/nme"} < set(names)
    assert arrays["influence_test"].shape == (len(names), PEOPLE) and arrays["influence_test"].dtype == np.float32
    assert arrays["influence_test_people"].dtype == np.int64
    # The error of one person moves the mean by that person's share.
    error = np.array([float(shapes.errors[people.identity == who].double().mean()) for who in identities])
    np.testing.assert_allclose(
        arrays["influence_test"][names.index("benchmark/shape_error_mm")], error - error.mean(), rtol=1e-4, atol=1e-5
    )
    value, control = measured_control(people.predicted, people.identity, people.index % 3, people.basis, "albedo")
    assert set(value) == {"control_albedo_auc"}
    assert control["influence_control_albedo_metrics"].tolist() == ["benchmark/control_albedo_auc"]
    values, photos = measured_photos(
        people.predicted, people.identity, neutral_photos(people), people.basis, people.sigma, people.identity % 2
    )
    assert {"matched_param_auc", "matched_geometry_auc"} < set(values)
    assert set(photos["influence_photos_metrics"]) == {f"photos/{key}" for key in values}
    assert influence_arrays("photos", identities, {}) == {}
    kept = kept_influences(arrays | photos | {"test_nme": np.zeros(3)}, lambda name: name.endswith("nme"))
    assert set(kept) == {"influence_test", "influence_test_metrics", "influence_test_people", "test_nme"}
    assert kept["influence_test_metrics"].tolist() == ["benchmark/nme", "conditions/large_pose/nme"]
    np.testing.assert_array_equal(kept["influence_test"][0], arrays["influence_test"][names.index("benchmark/nme")])


def test_undefined_metrics_have_no_influence() -> None:
    def metrics(weights):
        return {"fine": weights.sum().square(), "undefined": weights.sum() * torch.nan, "fixed": torch.tensor(3.0)}

    values, influences = measure(metrics, 4)
    assert set(influences) == {"fine"} and values["fixed"] == 3 and values["fine"] == 16
