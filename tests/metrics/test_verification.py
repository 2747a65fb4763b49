"""Verification numbers against scikit-learn and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from recface.errors import RecfaceError
from recface.metrics.functional import (
    Pairs,
    auc,
    cosine_scores,
    fold_accuracies,
    geometry_distance_pairs,
    mesh_scores,
    tar_at_far,
    verification,
    verification_pairs,
)


def scored(seed: int, count: int = 400, levels: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores on few levels, so that many tie."""
    random = torch.Generator().manual_seed(seed)
    same = torch.rand(count, generator=random) < 0.5
    scores = ((torch.randn(count, generator=random) + 1.2 * same) * levels / 8).round()
    return scores, same, torch.randint(0, 5, (count,), generator=random)


def naive_tar(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    best = 0.0
    for threshold in [*np.unique(scores), np.inf]:
        accepted = scores >= threshold
        if accepted[~same].mean() <= far:
            best = max(best, accepted[same].mean())
    return best


def naive_accuracy(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> float:
    accuracies = []
    for held_out in np.unique(fold):
        train, test = fold != held_out, fold == held_out
        candidates = [np.inf, *np.unique(scores[train])[::-1]]
        right = [((scores[train] >= t) == same[train]).mean() for t in candidates]
        accuracies.append(((scores[test] >= candidates[int(np.argmax(right))]) == same[test]).mean())
    return float(np.mean(accuracies))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [4, 40, 10_000])
def test_numbers_match_the_references(seed, levels) -> None:
    scores, same, fold = scored(seed, levels=levels)
    s, y, f = scores.numpy(), same.numpy(), fold.numpy()
    values = verification(scores, same, fold)
    assert values["auc"] == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert values["accuracy"] == pytest.approx(naive_accuracy(s, y, f), abs=1e-12)
    assert values["tar_at_far_1"] == pytest.approx(naive_tar(s, y, 0.01), abs=1e-12)
    assert tar_at_far(scores, same, 0.2) == pytest.approx(naive_tar(s, y, 0.2), abs=1e-12)
    assert tar_at_far(scores, same, 1.0) == 1.0


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1 / 8, 1.0, 16.0]), power=st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=25)
def test_monotone_maps_change_nothing(seed, scale, power) -> None:
    scores, same, fold = scored(seed, count=120)
    mapped = scale * scores.double() ** power - 1000  # far outside [0, 1]
    assert verification(mapped, same, fold) == verification(scores, same, fold)


def test_false_accepts_are_counted_exactly() -> None:
    scores = torch.cat([torch.arange(100.0), torch.tensor([71.5, 70.5])])  # 28 and 29 impostors lie above
    same = torch.arange(102) >= 100
    assert 0.29 * 100 < 29  # in floating point; yet 29 false accepts are allowed
    assert tar_at_far(scores, same, 0.29) == 1.0
    assert tar_at_far(scores, same, 0.289) == 0.5


def test_accepting_no_pair_can_be_the_best_threshold() -> None:
    scores, fold = torch.tensor([5.0, 4.0, 3.0, 6.0, 2.0]), torch.tensor([0, 0, 0, 1, 1])
    same = torch.tensor([False, False, True, True, False])
    # Fold 0 accepts from 6 on (2 of 3 right); fold 1 accepts none (1 of 2 right).
    assert fold_accuracies(scores, same, fold).tolist() == pytest.approx([2 / 3, 1 / 2])


def test_swapping_the_sign_mirrors_the_auc() -> None:
    scores, same, _ = scored(0)
    assert auc(-scores, same) == pytest.approx(1 - auc(scores, same))
    assert auc(torch.zeros_like(scores), same) == 0.5
    assert tar_at_far(torch.zeros_like(scores), same) == 0.0


def test_cosine_scores_match_scikit_learn(people) -> None:
    pairs = verification_pairs(people.identity)
    weighted = people.predicted * people.sigma
    expected = cosine_similarity(weighted.numpy())[pairs.first.numpy(), pairs.second.numpy()]
    np.testing.assert_allclose(cosine_scores(weighted, pairs).numpy(), expected, atol=1e-5)
    assert cosine_scores(torch.zeros_like(weighted), pairs).abs().max() == 0


@pytest.mark.parametrize("chunk", [7, 10_000])
def test_geometry_scores_match_a_loop(people, chunk) -> None:
    pairs = verification_pairs(people.identity)
    shapes = people.mean + torch.einsum("vck,nk->nvc", people.basis, people.predicted)
    expected = [
        np.mean([np.linalg.norm(a - b) for a, b in zip(shapes[i].numpy(), shapes[j].numpy(), strict=True)])
        for i, j in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    distances = geometry_distance_pairs(people.predicted, pairs.first, pairs.second, people.basis, chunk)
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-4)
    scores = mesh_scores(shapes.__getitem__, len(shapes), pairs, cosine=False, chunk=chunk)
    np.testing.assert_allclose(-scores.numpy(), expected, rtol=1e-4)


def test_mistakes_are_named(people) -> None:
    scores, same, fold = scored(0)
    with pytest.raises(RecfaceError, match="one kind"):
        auc(scores, torch.ones_like(same))
    with pytest.raises(RecfaceError, match="two folds or more"):
        fold_accuracies(scores, same, torch.zeros_like(fold))
    with pytest.raises(RecfaceError, match="scores: row 3 of 400"):
        auc(scores.index_fill(0, torch.tensor(3), float("nan")), same)
    pair = Pairs(*(torch.zeros(1, dtype=torch.long) for _ in range(4)))
    with pytest.raises(RecfaceError, match=r"parameters has shape \(120, 6\), expected \(N, 7\)"):
        geometry_distance_pairs(people.predicted[:, 1:], pair.first, pair.second, people.basis)
    with pytest.raises(RecfaceError, match=r"expected \(V, 3, K\)"):
        geometry_distance_pairs(people.predicted, pair.first, pair.second, people.basis.flatten(0, 1))
