"""Clustering numbers against loops over decoded shapes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances, silhouette_score

from recface.errors import RecfaceError
from recface.metrics.functional import clustering, geometry_coordinates, nmcd


def naive_nmcd(points: np.ndarray, labels: np.ndarray) -> float:
    centers = {y: points[labels == y].mean(0) for y in set(labels.tolist())}
    within = np.mean([((x - centers[y]) ** 2).sum() for x, y in zip(points, labels.tolist(), strict=True)])
    between = np.mean([((a - b) ** 2).sum() for i, a in centers.items() for j, b in centers.items() if i != j])
    return within / between


def test_nmcd_matches_the_loop_with_uneven_people(people) -> None:
    points, labels = people.predicted[:70], people.identity[:70]
    assert len(set(torch.bincount(labels).tolist())) > 2
    assert nmcd(points, labels) == pytest.approx(naive_nmcd(points.double().numpy(), labels.numpy()), rel=1e-9)


def test_geometry_is_that_of_the_decoded_shapes(people) -> None:
    shapes = torch.einsum("vck,nk->nvc", people.basis.double(), people.predicted.double()).flatten(1).numpy()
    shapes /= math.sqrt(people.basis.shape[0])
    labels = people.identity.numpy()
    points = geometry_coordinates(people.predicted, people.basis)
    values = clustering(points, people.identity)
    assert values["nmcd"] == pytest.approx(naive_nmcd(shapes, labels), rel=1e-5)
    expected = silhouette_score(pairwise_distances(shapes), labels, metric="precomputed")
    assert values["silhouette"] == pytest.approx(expected, rel=1e-5)
    assert set(values) == {"silhouette", "calinski_harabasz", "davies_bouldin", "nmcd"}
    np.testing.assert_allclose(pairwise_distances(points.numpy()), pairwise_distances(shapes), atol=1e-5)


def test_tighter_people_score_better_in_all_four(people) -> None:
    loose = clustering(people.predicted, people.identity)
    tight = clustering(people.true + 0.1 * (people.predicted - people.true), people.identity)
    assert tight["silhouette"] > loose["silhouette"]
    assert tight["calinski_harabasz"] > loose["calinski_harabasz"]
    assert tight["davies_bouldin"] < loose["davies_bouldin"]
    assert tight["nmcd"] < loose["nmcd"]


def test_collapse_is_undefined_and_not_perfect(people) -> None:
    one = people.predicted[:1].expand(120, -1)
    for constant in (torch.zeros_like(one), one, one + 1e-8 * people.predicted.double()):
        assert all(math.isnan(v) for v in clustering(constant, people.identity).values())


def test_mistakes_are_named(people) -> None:
    with pytest.raises(RecfaceError, match="two people or more"):
        nmcd(people.predicted, torch.zeros_like(people.identity))
    with pytest.raises(RecfaceError, match="second photo"):
        clustering(people.predicted, people.index)
    with pytest.raises(RecfaceError, match="row 0 is unknown"):
        clustering(people.predicted, -1 - people.index)
    with pytest.raises(RecfaceError, match="points: row 9 of 120"):
        clustering(people.predicted.index_fill(0, torch.tensor(9), float("inf")), people.identity)
