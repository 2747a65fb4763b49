"""Pairs of photos: those of the metrics room, and the area under the ROC curve of their distances."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recface.results.pairs import cross_pairs, impostors_nearer, rank_auc, verification_pairs


def test_pairs_are_those_of_the_metrics_room():
    import torch

    from recface.metrics.functional import verification_pairs as expected_pairs

    identity = np.random.default_rng(0).permutation(np.repeat(np.arange(25), 4))
    expected = expected_pairs(torch.from_numpy(identity))
    both = np.stack([expected.first.numpy(), expected.second.numpy()], 1)
    pairs = verification_pairs(identity)
    np.testing.assert_array_equal(pairs.genuine, both[expected.same.numpy()])
    np.testing.assert_array_equal(pairs.impostor, both[~expected.same.numpy()])


def test_cross_pairs_are_all_across_expressions():
    pairs = cross_pairs(np.array([0, 0, 0, 1, 1]), np.array([True, False, False, True, False]))
    assert pairs.genuine.tolist() == [[0, 1], [0, 2], [3, 4]]
    assert pairs.impostor.tolist() == [[0, 4], [1, 3], [2, 3]]


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"), [([1], [2], 1), ([2], [1], 0), ([1], [1], 0.5), ([1, 3], [2, 2], 0.5)]
)
def test_auc_by_hand(genuine, impostor, expected):
    assert rank_auc(np.array(genuine, float), np.array(impostor, float)) == expected


@pytest.mark.parametrize("highest", [3, 10**6])
def test_auc_is_scikit_learns(highest):
    """With ties and without."""
    generator = np.random.default_rng(0)
    genuine, impostor = (generator.integers(low, highest, size).astype(float) for low, size in ((0, 40), (1, 70)))
    expected = roc_auc_score(np.repeat([0, 1], [40, 70]), np.concatenate([genuine, impostor]))
    assert rank_auc(genuine, impostor) == pytest.approx(expected)
    counted = (impostor[None] < genuine[:, None]).sum(1) + (impostor[None] == genuine[:, None]).sum(1) / 2
    np.testing.assert_array_equal(impostors_nearer(genuine, impostor), counted)
