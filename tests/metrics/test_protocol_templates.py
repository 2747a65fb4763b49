"""Template protocols against plain pooling and scikit-learn's ROC."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_curve
from tests.metrics.test_protocol_verification import plain_scores, plain_ten_fold

from recface.errors import RecfaceError
from recface.metrics.functional.verification import identification, pool
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth
from recface.metrics.protocols.verification import SIMILARITIES


def templates(seed: int = 0, people: int = 30, each: int = 4):
    """Four templates a person, of one to four photos in one to three media; the rows in random order."""
    random = np.random.default_rng(seed)
    rows, parameters = [], []
    centers = random.normal(size=(people, 6))
    for template in range(people * each):
        for photo in range(random.integers(1, 5)):
            media = f"m{min(photo, random.integers(0, 3))}"
            role = "gallery" if template % each == 0 else "probe"
            rows.append((f"t{template:03d}", media, f"person {template // each}", role))
            parameters.append(centers[template // each] + 1.3 * random.normal(size=6))
    order = random.permutation(len(rows))
    table = pd.DataFrame([rows[i] for i in order], columns=["template", "media", "identity", "role"])
    table.insert(0, "id", [f"photo{i}" for i in range(len(table))])
    parameters = np.array(parameters, np.float32)[order]
    basis = random.normal(size=(20, 3, 6)) * 10
    vertices = (np.einsum("vck,nk->nvc", basis, parameters) + random.normal(size=(20, 3)) * 50).astype(np.float32)
    return Predictions(tuple(table["id"]), parameters=parameters, vertices=vertices), Truth(table), people, each


def plain_pool(predictions: Predictions, table: pd.DataFrame, media: bool) -> Predictions:
    names, parameters, vertices = [], [], []
    for name, rows in table.groupby("template").groups.items():
        groups = table.loc[rows].groupby("media").groups.values() if media else [rows]
        names.append(name)
        parameters.append(np.mean([predictions.parameters[list(g)].mean(axis=0, dtype=float) for g in groups], axis=0))
        vertices.append(np.mean([predictions.vertices[list(g)].mean(axis=0, dtype=float) for g in groups], axis=0))
    return Predictions(tuple(names), parameters=np.array(parameters), vertices=np.array(vertices))


def template_pairs(seed: int, people: int, each: int, folds: int, count: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = []
    for fold in range(folds):
        for index in range(count):
            a = random.integers(people * each)
            same = index % 2 == 0
            others = [b for b in range(people * each) if (b // each == a // each) == same and b != a]
            rows.append((f"t{a:03d}", f"t{random.choice(others):03d}", same, fold))
    return pd.DataFrame(rows, columns=["first", "second", "same", "fold"])


def as_rows(pairs: pd.DataFrame, ids: tuple[str, ...]) -> Truth:
    row = {name: i for i, name in enumerate(ids)}
    return Truth(pd.DataFrame(), pairs=pairs.assign(first=pairs["first"].map(row), second=pairs["second"].map(row)))


@pytest.mark.parametrize("similarity", [item.name for item in SIMILARITIES])
def test_ytf_against_the_plain_protocol(similarity) -> None:
    predictions, truth, people, each = templates()
    pairs = template_pairs(1, people, each, 10, 40)
    found = BENCHMARKS[f"ytf-10fold-{similarity}/v1"].evaluate(predictions, replace(truth, pairs=pairs))
    pooled = plain_pool(predictions, truth.table, media=False)
    scores = plain_scores(pooled, as_rows(pairs, pooled.ids), similarity)
    expected = plain_ten_fold(scores, pairs["same"].to_numpy(), pairs["fold"].to_numpy())
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("similarity", [item.name for item in SIMILARITIES])
def test_template_verification_against_scikit_learn(similarity) -> None:
    predictions, truth, people, each = templates()
    pairs = template_pairs(2, people, each, 1, 2400)  # 1,200 impostor pairs: FAR 1e-3 is measurable, 1e-4 is not
    found = BENCHMARKS[f"ijb-verification-{similarity}/v1"].evaluate(predictions, replace(truth, pairs=pairs))
    pooled = plain_pool(predictions, truth.table, media=True)
    scores = plain_scores(pooled, as_rows(pairs, pooled.ids), similarity)
    far, tar, _ = roc_curve(pairs["same"], np.round(scores, 9), drop_intermediate=False)
    for name, rate in (("tar_at_far_1e1", 1e-1), ("tar_at_far_1e2", 1e-2), ("tar_at_far_1e3", 1e-3)):
        assert found[name] == pytest.approx(tar[far <= rate].max(), abs=2e-3)
    assert np.isnan(found["tar_at_far_1e4"])
    assert 0.2 < found["tar_at_far_1e1"] < 1


@pytest.mark.parametrize("similarity", [item.name for item in SIMILARITIES])
def test_identification_against_sorting(similarity) -> None:
    predictions, truth, people, each = templates()
    found = BENCHMARKS[f"ijb-identification-{similarity}/v1"].evaluate(predictions, truth)
    pooled = plain_pool(predictions, truth.table, media=True)
    gallery = [i for i, name in enumerate(pooled.ids) if int(name[1:]) % each == 0]
    probes = [i for i in range(len(pooled)) if i not in gallery]
    ranks = []
    for probe in probes:
        pairs = pd.DataFrame({"first": probe, "second": gallery})
        scores = plain_scores(pooled, Truth(pd.DataFrame(), pairs=pairs), similarity)
        order = [int(pooled.ids[gallery[i]][1:]) // each for i in np.argsort(-scores)]
        ranks.append(1 + order.index(int(pooled.ids[probe][1:]) // each))
    expected = {f"rank_{k}": np.mean(np.array(ranks) <= k) for k in (1, 5, 10)}
    assert found == pytest.approx(expected, abs=1e-9)
    assert expected["rank_1"] < expected["rank_10"] <= 1


def test_pooling_weighs_each_medium_once() -> None:
    """A long video and a still: the template lies in the middle, not near the video."""
    table = pd.DataFrame({"id": list("abcd"), "template": "t", "media": ["video"] * 3 + ["still"]})
    table = pd.concat([table, table.assign(template="u", id=list("efgh"))])
    values = np.array([[0.0, 1], [0, 1], [0, 1], [1, 0]] * 2, np.float32)
    truth = Truth(table, pairs=pd.DataFrame({"first": ["t"], "second": ["u"], "same": [True], "fold": [0]}))
    protocol = BENCHMARKS["ijb-verification-cos/v1"]
    pooled = protocol.pooled(Predictions(tuple(table["id"]), parameters=values), truth)
    assert pooled.ids == ("t", "u") and pooled.parameters.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_pool_is_the_mean() -> None:
    values = torch.tensor([[1.0, 2], [3, 4], [5, 9]])
    assert pool(values, torch.tensor([1, 0, 1])).tolist() == [[3, 4], [3, 5.5]]


def test_ties_share_the_rank() -> None:
    """All scores equal, as of predictions collapsed to the mean: rank k has chance k / G."""
    rates = identification(torch.zeros(3, 4), torch.tensor([0, 1, 3]), torch.arange(4), (1, 3, 10))
    assert rates.tolist() == pytest.approx([0.25, 0.75, 1])


def test_roles_are_checked() -> None:
    predictions, truth, _, _ = templates()
    protocol = BENCHMARKS["ijb-identification-cos/v1"]
    first = truth.table["template"].iloc[0]
    wrong = truth.table.assign(role=truth.table["role"].where(truth.table["template"] != first, "other"))
    with pytest.raises(RecfaceError, match=f"template {first} has role 'other'; roles are gallery and probe"):
        protocol.evaluate(predictions, replace(truth, table=wrong))
    two = truth.table.copy()
    repeated = two["template"][two["template"].duplicated()].iloc[0]
    two.loc[two.index[two["template"] == repeated][0], "identity"] = "another"
    with pytest.raises(RecfaceError, match=f"template {repeated} has two identities or two roles"):
        protocol.evaluate(predictions, replace(truth, table=two))
    with pytest.raises(RecfaceError, match="0 gallery and"):
        protocol.evaluate(predictions, replace(truth, table=truth.table.assign(role="probe")))
    with pytest.raises(RecfaceError, match="probe template 0 has 0 gallery templates"):
        identification(torch.zeros(1, 2), torch.tensor([5]), torch.arange(2), (1,))
