"""Values person by person: their means are the metrics."""

import numpy as np
import pytest
import synthetic
from sklearn.metrics import roc_auc_score

from recface.results import people
from recface.results.replicates import Replicator
from recface.tracking.archive import reduce_predictions


@pytest.fixture
def arrays():
    return reduce_predictions(synthetic.predictions(0, 0.8, photographs=True))


def test_mean_of_people_leaves_out_holes():
    values, groups = np.array([1.0, 3.0, np.nan, 5.0]), np.array([0, 0, 1, 2])
    assert people.mean_of_people(values, groups, 3) == pytest.approx([2, np.nan, 5], nan_ok=True)


def test_auc_of_people_is_scikit_learns_for_each():
    generator = np.random.default_rng(0)
    genuine, impostor = generator.integers(0, 6, 30).astype(float), generator.integers(2, 9, 50).astype(float)
    groups = np.arange(30) % 4
    found = people.auc_of_people(genuine, impostor, groups, 5)
    for person in range(4):
        own = genuine[groups == person]
        expected = roc_auc_score(np.repeat([0, 1], [len(own), 50]), np.concatenate([own, impostor]))
        assert found[person] == pytest.approx(expected)
    assert np.isnan(found[4])


def test_nmcd_of_people_against_loops():
    generator = np.random.default_rng(1)
    points, groups = generator.normal(size=(24, 3)), np.arange(24) % 6
    centres = [points[groups == y].mean(0) for y in range(6)]
    between = np.mean([np.square(a - b).sum() for i, a in enumerate(centres) for j, b in enumerate(centres) if i != j])
    expected = [np.square(points[groups == y] - centres[y]).sum(1).mean() / between for y in range(6)]
    assert people.nmcd_of_people(points, groups, 6) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("prefix", ["test", "photos"])
def test_means_over_people_are_the_metrics(arrays, prefix):
    """Everybody has as many photos and pairs here, so that the plain mean is the metric itself."""
    replicator = Replicator(prefix, 3)
    metrics, found = replicator(arrays), people.values_of_people(replicator, arrays)
    assert {"geometry_auc", "param_auc", "nmcd_geometry", "nmcd_param"} <= set(found) < set(metrics)
    assert "prior_kl" not in found
    for metric, values in found.items():
        assert values.shape == (20,)
        assert values.mean() == pytest.approx(metrics[metric][0], rel=1e-5), metric


def test_without_predictions_there_are_no_people():
    assert people.values_of_people(Replicator("photos", 3), reduce_predictions(synthetic.predictions(0, 0.8))) == {}
