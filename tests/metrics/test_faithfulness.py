"""Faithfulness, and whether the controls catch imprinted albedo."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import paired_cosine_distances

from recface.errors import RecfaceError
from recface.metrics.functional import control_auc, rank1, rms_distances, true_references, truth_cosine


def test_cosine_matches_scikit_learn_and_ignores_scale(people) -> None:
    predicted, true = people.predicted * people.sigma, people.true * people.sigma
    expected = float(np.mean(1 - paired_cosine_distances(predicted.numpy(), true.numpy())))
    assert truth_cosine(predicted, true) == pytest.approx(expected, rel=1e-5)
    assert truth_cosine(7 * predicted, true) == pytest.approx(expected, rel=1e-5)
    assert truth_cosine(torch.zeros_like(predicted), true) == 0


def test_rank1_matches_a_loop_over_decoded_shapes(people) -> None:
    def decode(a: torch.Tensor) -> np.ndarray:
        return torch.einsum("vck,k->vc", people.basis.double(), a.double()).numpy()

    truth = {int(y): decode(a) for y, a in zip(people.identity, people.true, strict=True)}
    hits = [
        min(truth, key=lambda y: ((truth[y] - decode(a)) ** 2).sum()) == int(person)
        for a, person in zip(people.predicted, people.identity, strict=True)
    ]
    assert 0 < np.mean(hits) < 1
    names, references = true_references(people.identity, people.true)
    distances = rms_distances(people.predicted, references, people.basis)
    assert rank1(distances, people.identity, names) == pytest.approx(np.mean(hits))


@pytest.fixture
def control() -> tuple[torch.Tensor, ...]:
    """Every shape under every albedo, three photos each; shape and albedo pull at the same modes."""
    random = torch.Generator().manual_seed(0)
    shape, albedo = torch.arange(6).repeat_interleave(12), torch.arange(4).repeat_interleave(3).repeat(6)
    noise = 0.3 * torch.randn(72, 5, generator=random)
    of_shape, of_albedo = torch.randn(6, 5, generator=random)[shape], torch.randn(4, 5, generator=random)[albedo]
    return shape, albedo, of_shape, of_albedo, noise, torch.randn(20, 3, 5, generator=random)


def test_controls_tell_true_shape_from_imprinted_albedo(control) -> None:
    shape, albedo, of_shape, of_albedo, noise, basis = control
    same_albedo = torch.isin(albedo, torch.tensor([0]))
    for kind, rows in (("shape", slice(None)), ("albedo", same_albedo)):
        faithful = control_auc((of_shape + noise)[rows], shape[rows], albedo[rows], basis, kind)
        imprinted = control_auc((of_albedo + noise)[rows], shape[rows], albedo[rows], basis, kind)
        assert faithful > 0.9, kind
        assert imprinted < 0.6, kind


def test_mistakes_are_named(people, control) -> None:
    shape, albedo, of_shape, _, _, basis = control
    with pytest.raises(RecfaceError, match="no genuine pair"):
        control_auc(of_shape, shape, torch.zeros_like(albedo), basis, "shape")
    with pytest.raises(RecfaceError, match="no impostor pair"):
        control_auc(of_shape, shape, shape, basis)
    with pytest.raises(RecfaceError, match="true parameters: row 1 of"):
        truth_cosine(people.predicted, people.true.index_fill(0, torch.tensor(1), float("nan")))
    with pytest.raises(RecfaceError, match="differ"):
        truth_cosine(people.predicted, people.true[:, 1:])
