"""Ten-fold protocols against a plain re-derivation in NumPy and scikit-learn's ROC."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from recface.errors import RecfaceError
from recface.metrics.functional import Pairs
from recface.metrics.functional.verification import (
    fold_val,
    linear_geometry_scores,
    mesh_scores,
    ten_fold,
    vector_scores,
)
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth
from recface.metrics.protocols.verification import SIMILARITIES


def scene(seed: int = 0, people: int = 40, photos: int = 4, modes: int = 6, vertices: int = 30, pairs: int = 60):
    """Predictions with parameters and vertices of one linear model, and ten folds of 2 x pairs / 2 pairs."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), photos)
    parameters = (random.normal(size=(people, modes))[person] + 0.8 * random.normal(size=(len(person), modes))).astype(
        np.float32
    )
    basis = random.normal(size=(vertices, 3, modes)).astype(np.float32) * 5
    mean = random.normal(size=(vertices, 3)).astype(np.float32) * 50
    shapes = np.einsum("vck,nk->nvc", basis, parameters) + mean
    rows = []
    for fold in range(10):
        for index in range(pairs):
            a = random.integers(len(person))
            if index % 2:
                b = random.choice(np.flatnonzero((person == person[a]) & (np.arange(len(person)) != a)))
            else:
                b = random.choice(np.flatnonzero(person != person[a]))
            rows.append((a, b, bool(index % 2), fold))
    ids = tuple(f"p{i}" for i in range(len(person)))
    table = pd.DataFrame({"id": ids, "identity": person.astype(str)})
    truth = Truth(table, pairs=pd.DataFrame(rows, columns=["first", "second", "same", "fold"]))
    return Predictions(ids, parameters=parameters, vertices=shapes.astype(np.float32)), truth, basis, mean


def plain_scores(predictions: Predictions, truth: Truth, name: str) -> np.ndarray:
    """One pair after the other."""
    scores = []
    center = predictions.vertices.astype(np.float64).mean(axis=0)
    for a, b in truth.pairs[["first", "second"]].to_numpy():
        if name.startswith("geometry"):
            x, y = (predictions.vertices[i].astype(np.float64) - center for i in (a, b))
        else:
            x, y = (predictions.parameters[i].astype(np.float64) for i in (a, b))
        if name == "geometry-euclid":
            scores.append(-np.mean([np.sqrt(((p - q) ** 2).sum()) for p, q in zip(x, y, strict=True)]))
        elif name == "euclid":
            scores.append(-np.sqrt(((x - y) ** 2).sum()))
        else:
            scores.append((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    return np.array(scores)


def plain_ten_fold(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """LFW's protocol: every score is tried as a threshold on nine folds, the best is used on the tenth."""
    accuracies, values, rates = [], [], []
    for held_out in range(10):
        train, test = fold != held_out, fold == held_out
        best, chosen = (scores[train] >= np.inf).astype(int), np.inf
        best = ((scores[train] >= np.inf) == same[train]).mean()
        for threshold in np.sort(np.unique(scores[train]))[::-1]:
            right = ((scores[train] >= threshold) == same[train]).mean()
            if right > best:
                best, chosen = right, threshold
        accuracies.append(((scores[test] >= chosen) == same[test]).mean())
        # VAL: scikit-learn's ROC of the other folds gives the loosest threshold with FAR <= 1e-3.
        far, _, thresholds = roc_curve(same[train], scores[train], drop_intermediate=False)
        threshold = thresholds[np.flatnonzero(far <= 1e-3)[-1]]
        next_lower = scores[train & ~same][scores[train & ~same] < threshold].max(initial=-np.inf)
        accepted = scores[test] > next_lower
        values.append(accepted[same[test]].mean())
        rates.append(accepted[~same[test]].mean())
    return {
        "accuracy": np.mean(accuracies),
        "accuracy_error": np.std(accuracies, ddof=1) / np.sqrt(10),
        "val": np.mean(values),
        "val_far": np.mean(rates),
        "auc": roc_auc_score(same, scores),
    }


@pytest.mark.parametrize("similarity", [item.name for item in SIMILARITIES])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_similarity_matches_the_plain_protocol(similarity, seed) -> None:
    predictions, truth, _, _ = scene(seed)
    found = BENCHMARKS[f"pairs-10fold-{similarity}/v1"].evaluate(predictions, truth)
    same, fold = truth.pairs["same"].to_numpy(), truth.pairs["fold"].to_numpy()
    expected = plain_ten_fold(plain_scores(predictions, truth, similarity), same, fold)
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0.6 < found["accuracy"] < 1  # the scene is neither trivial nor chance


def test_all_impostors_beyond_the_far_are_used() -> None:
    """With 3,000 impostor pairs, FAR 1e-3 lets two of the other nine folds' 2,700 through."""
    random = np.random.default_rng(3)
    same = np.tile([True, False], 3000)
    scores = random.normal(size=6000) + 2.5 * same
    fold = np.repeat(np.arange(10), 600)
    found = ten_fold(*map(torch.from_numpy, (scores, same, fold)))
    assert found == pytest.approx(plain_ten_fold(scores, same, fold), abs=1e-12)
    assert 0 < found["val"] < 1


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_numbers_do_not_change_under_a_monotone_map(seed) -> None:
    random = np.random.default_rng(seed)
    same, fold = np.tile([True, False], 100), np.repeat(np.arange(10), 20)
    scores = np.round(random.normal(size=200) + same, 1)
    first = ten_fold(*map(torch.from_numpy, (scores, same, fold)))
    assert ten_fold(*map(torch.from_numpy, (np.exp(scores / 3), same, fold))) == pytest.approx(first, abs=1e-12)


def test_val_with_ties_accepts_no_more_than_asked() -> None:
    scores = torch.zeros(40, dtype=torch.float64)
    same, fold = torch.arange(40) % 2 == 0, torch.arange(40) // 4
    assert fold_val(scores, same, fold, far=0.5) == (0.0, 0.0)


def test_a_basis_gives_the_scores_of_the_decoded_shapes() -> None:
    predictions, truth, basis, _ = scene()
    columns = (torch.tensor(truth.pairs[name].to_numpy()) for name in ("first", "second", "same", "fold"))
    pairs, shapes = Pairs(*columns), torch.from_numpy(predictions.vertices)
    parameters = torch.from_numpy(predictions.parameters)
    for cosine in (True, False):
        linear = linear_geometry_scores(parameters, torch.from_numpy(basis), pairs, cosine=cosine)
        decoded = mesh_scores(shapes.__getitem__, len(shapes), pairs, cosine=cosine)
        torch.testing.assert_close(linear.double(), decoded.double(), rtol=1e-4, atol=1e-4)


def test_chunks_of_pairs_change_nothing(monkeypatch) -> None:
    predictions, truth, _, _ = scene()
    columns = (torch.tensor(truth.pairs[name].to_numpy()) for name in ("first", "second", "same", "fold"))
    pairs, vectors = Pairs(*columns), torch.from_numpy(predictions.parameters)
    whole = vector_scores(vectors, pairs, cosine=True)
    monkeypatch.setattr(sys.modules[vector_scores.__module__], "CHUNK", 7)
    assert torch.equal(vector_scores(vectors, pairs, cosine=True), whole)


def test_geometry_cosine_does_not_depend_on_where_the_shapes_lie() -> None:
    predictions, truth, _, _ = scene()
    protocol = BENCHMARKS["pairs-10fold-geometry-cos/v1"]
    moved = replace(predictions, vertices=predictions.vertices + np.float32([30, -20, 10]))
    assert protocol.evaluate(moved, truth) == pytest.approx(protocol.evaluate(predictions, truth), abs=1e-6)


def test_folds_are_checked() -> None:
    predictions, truth, _, _ = scene()
    protocol = BENCHMARKS["pairs-10fold-cos/v1"]
    with pytest.raises(RecfaceError, match="9 folds; the protocol has 10"):
        protocol.evaluate(predictions, replace(truth, pairs=truth.pairs[truth.pairs["fold"] > 0]))
    one_kind = truth.pairs[(truth.pairs["fold"] > 0) | truth.pairs["same"]]
    with pytest.raises(RecfaceError, match="fold 0 has 30 genuine pairs of 30"):
        protocol.evaluate(predictions, replace(truth, pairs=one_kind))
    with pytest.raises(RecfaceError, match="needs a pair list"):
        protocol.evaluate(predictions, replace(truth, pairs=None))
