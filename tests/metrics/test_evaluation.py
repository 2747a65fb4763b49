"""The composed evaluation, its keys and their protocols."""

import pytest
import torch

from recface.errors import RecfaceError
from recface.metrics import (
    PROTOCOLS,
    Clustering,
    Faithfulness,
    GeometryVerification,
    ParameterVerification,
    PriorDistance,
    SIRMetric,
    evaluate_shapes,
    masked_basis,
    protocol_ids,
    shape_errors,
)

NEED_TRUTH = {"shape_error_mm", "mean_face_error_mm", "sir", "rank1", "truth_cosine", "truth_rank1"}
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


def test_values_are_those_of_the_metric_classes(people) -> None:
    values = evaluate(people)
    batch = {"parameters": people.predicted, "identities": people.identity}
    pose = {"yaw_abs": people.yaw_abs, "expression_norm": people.expression_norm}
    expected = {
        "shape_error_mm": shape_errors(people.predicted, people.true, people.basis, people.mean).mean(),
        "mean_face_error_mm": shape_errors(None, people.true, people.basis, people.mean).mean(),
    }
    for metric, update in (
        (ParameterVerification(people.sigma), batch),
        (GeometryVerification(people.basis), batch),
        (SIRMetric(people.basis), batch | {"true": people.true}),
        (SIRMetric(people.basis, "decoded"), batch | pose),
        (Clustering(), batch),
        (Clustering(people.basis), batch),
        (PriorDistance(), {"parameters": people.predicted}),
        (
            Faithfulness(people.basis, people.sigma),
            {"predicted": people.predicted, "true": people.true, "identities": people.identity},
        ),
    ):
        metric.update(**update)
        expected |= metric.compute()
    assert values == pytest.approx({key: float(value) for key, value in expected.items()}, rel=1e-5)
    assert all(type(value) is float for value in values.values())


def test_what_is_unknown_is_left_out(people) -> None:
    full = evaluate(people)
    without_truth = evaluate(people, true=None)
    assert set(full) - set(without_truth) == NEED_TRUTH
    assert set(full) - set(evaluate(people, yaw_abs=None)) == NEED_POSE
    assert without_truth == {key: full[key] for key in without_truth}


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
    # Only the two names of one and the same number share an id.
    assert len({p.id for key, p in PROTOCOLS.items() if key != "truth_rank1"}) == len(PROTOCOLS) - 1
    assert evaluate(people)["rank1"] == evaluate(people)["truth_rank1"]
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
