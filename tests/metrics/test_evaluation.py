"""The composed evaluation, its keys and their protocols."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from recface.data.benchmark import scene
from recface.errors import RecfaceError
from recface.metrics import (
    CONDITION_PROTOCOLS,
    PROTOCOLS,
    MeasuredShapes,
    evaluate_shapes,
    masked_basis,
    protocol_ids,
    shape_errors,
)
from recface.metrics.functional import (
    clustering,
    cosine_scores,
    decoded_recognition,
    geometry_coordinates,
    geometry_distance_pairs,
    parameter_energy,
    prior_kl,
    recognition,
    true_references,
    truth_cosine,
    verification,
    verification_pairs,
)

NEED_TRUTH = {"shape_error_mm", "mean_face_error_mm", "sir", "rank1", "truth_cosine"}
NEED_POSE = {"sir_decoded", "rank1_decoded"}


def evaluate(people, **changes) -> dict[str, float]:
    arguments = dict(
        predicted=people.predicted,
        identity=people.identity,
        basis=people.basis,
        mean=people.mean,
        sigma=people.sigma,
        true=people.true,
        yaw_abs=people.yaw_abs,
        expression_norm=people.expression_norm,
    )
    return evaluate_shapes(**arguments | changes)


def test_values_are_those_of_the_functions(people) -> None:
    """Each key holds the function that its name says, on the space that its name says."""
    values, pairs = evaluate(people), verification_pairs(people.identity)
    names, references = true_references(people.identity, people.true)
    distances = geometry_distance_pairs(people.predicted, pairs.first, pairs.second, people.basis)
    weighted = people.predicted * people.sigma
    expected = {
        "shape_error_mm": shape_errors(people.predicted, people.true, people.basis, people.mean).mean(),
        "mean_face_error_mm": shape_errors(None, people.true, people.basis, people.mean).mean(),
        "truth_cosine": truth_cosine(weighted, people.true * people.sigma),
        "prior_kl": prior_kl(people.predicted),
        "param_energy": parameter_energy(people.predicted),
    }
    expected |= recognition(people.predicted, people.identity, references, names, people.basis)
    photos = (people.predicted, people.identity, people.yaw_abs, people.expression_norm, people.basis)
    expected |= {f"{key}_decoded": value for key, value in decoded_recognition(*photos).items()}
    points = {"param": people.predicted, "geometry": geometry_coordinates(people.predicted, people.basis)}
    for space, scores in (("param", cosine_scores(weighted, pairs)), ("geometry", -distances)):
        found = verification(scores, pairs.same, pairs.fold)
        expected |= dict(zip((f"{space}_auc", f"{space}_acc", f"{space}_tar"), found.values(), strict=True))
        clusters = clustering(points[space], people.identity)
        expected |= {f"{key}_{space}": value for key, value in clusters.items()}
    assert values == pytest.approx({key: float(value) for key, value in expected.items()}, rel=1e-6)
    assert all(type(value) is float for value in values.values())


def test_what_is_unknown_is_left_out(people) -> None:
    full = evaluate(people)
    without_truth = evaluate(people, true=None)
    assert set(full) - set(without_truth) == NEED_TRUTH
    assert set(full) - set(evaluate(people, yaw_abs=None)) == NEED_POSE
    assert without_truth == {key: full[key] for key in without_truth}


def test_conditions_measure_their_own_photos_and_pairs(people) -> None:
    nme = 3 + people.yaw_abs
    shapes = MeasuredShapes(
        people.predicted, people.identity, people.sigma, people.basis, people.mean, people.true, nme=nme
    ).checked()
    chosen = people.yaw_abs > 0.8
    nobody, everybody = torch.zeros_like(chosen), torch.ones_like(chosen)
    values = shapes.under({"large_pose": chosen, "occlusion": nobody, "plain": everybody})
    assert set(values) == {
        f"{name}/{key}" for name in ("large_pose", "plain") for key in ("shape_error_mm", "nme", "geometry_auc")
    }
    errors = shape_errors(people.predicted, people.true, people.basis, people.mean)
    assert float(values["large_pose/shape_error_mm"]) == pytest.approx(float(errors[chosen].mean()), rel=1e-6)
    assert float(values["large_pose/nme"]) == pytest.approx(float(nme[chosen].mean()), rel=1e-6)
    pairs, same, score = verification_pairs(people.identity), [], []
    for first, second, equal in zip(*(x.tolist() for x in pairs[:3]), strict=True):
        if chosen[first] or chosen[second]:
            offset = people.basis @ (people.predicted[first] - people.predicted[second])
            same.append(equal)
            score.append(-float(offset.norm(dim=1).mean()))
    assert float(values["large_pose/geometry_auc"]) == pytest.approx(roc_auc_score(same, score), abs=1e-6)
    assert values["plain/geometry_auc"] == shapes.metrics()["geometry_auc"]
    assert set(protocol_ids(values).values()) < {protocol.id for protocol in CONDITION_PROTOCOLS.values()}
    assert CONDITION_PROTOCOLS["large_pose/geometry_auc"].id.endswith("-condition-large-pose/v2")
    assert {name.split("/")[0] for name in CONDITION_PROTOCOLS} == set(scene.CONDITIONS)


def test_perfect_and_mean_face_predictions(people) -> None:
    perfect = evaluate(people, predicted=people.true)
    ideal = {
        "shape_error_mm": 0,
        "sir": 1,
        "rank1": 1,
        "param_auc": 1,
        "geometry_auc": 1,
        "geometry_acc": 1,
        "nmcd_param": 0,
    }
    assert {key: perfect[key] for key in ideal} == pytest.approx(ideal, abs=1e-4)
    collapsed = evaluate(people, predicted=torch.zeros_like(people.true))
    assert collapsed["shape_error_mm"] == pytest.approx(collapsed["mean_face_error_mm"])
    chance = {"param_auc": 0.5, "geometry_auc": 0.5, "sir": 0, "sir_decoded": 0, "param_energy": 0, "truth_cosine": 0}
    assert {key: collapsed[key] for key in chance} == pytest.approx(chance, abs=1e-6)


def test_the_mask_selects_rows_of_the_basis() -> None:
    basis, sigma = torch.randn(15, 2), torch.tensor([3.0, 2.0])
    mask = torch.tensor([True, False, True, True, False])
    expected = [[[basis[3 * v + c, k] * sigma[k] for k in range(2)] for c in range(3)] for v in (0, 2, 3)]
    torch.testing.assert_close(masked_basis(basis, sigma, mask), torch.tensor(expected))


def test_every_key_has_a_protocol_of_its_own(people) -> None:
    ids = protocol_ids(evaluate(people))
    assert ids["shape_error_mm"] == "shape-error-similarity/v1"
    assert all(
        p.id.rpartition("/v")[2].isdigit() and p.direction in ("lower", "higher", "neutral") for p in PROTOCOLS.values()
    )
    assert len({p.id for p in (PROTOCOLS | CONDITION_PROTOCOLS).values()}) == len(PROTOCOLS) + len(CONDITION_PROTOCOLS)
    with pytest.raises(RecfaceError, match="metric mystery has no protocol id"):
        protocol_ids(["nme", "mystery"])


def test_mistakes_are_named(people) -> None:
    spoilt = people.predicted.index_fill(0, torch.tensor(11), float("nan"))
    with pytest.raises(RecfaceError, match="predicted parameters: row 11 of 120"):
        evaluate(people, predicted=spoilt)
    with pytest.raises(RecfaceError, match="predicted 119, identity 120"):
        evaluate(people, predicted=people.predicted[1:])
    with pytest.raises(RecfaceError, match="sigma"):
        evaluate(people, sigma=people.sigma[1:])
    with pytest.raises(RecfaceError, match="too few for 20"):
        evaluate(people, folds=20)
