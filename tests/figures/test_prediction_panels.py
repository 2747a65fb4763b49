import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve, silhouette_score

from recface.errors import RecfaceError
from recface.figures.prediction_panels import (
    FARS,
    MAPPED_PEOPLE,
    Method,
    coordinates,
    error_panel,
    map_panels,
    pair_scores,
    roc_panels,
    run_pictures,
)
from recface.metrics.functional import verification_pairs

PEOPLE, PHOTOS, MODES = 24, 4, 5


def predictions(noise, seed=0):
    """Photos scattered about their people, in a space where modes count differently and are not orthogonal."""
    random = np.random.default_rng(seed)
    people, root = random.normal(size=(PEOPLE, MODES)), random.normal(size=(MODES, MODES))
    scattered = np.repeat(people, PHOTOS, 0) + noise * random.normal(size=(PEOPLE * PHOTOS, MODES))
    return {
        "test_parameters": scattered.astype(np.float16),
        "test_identity": np.repeat(np.arange(PEOPLE), PHOTOS).astype(np.int16),
        "test_shape_error": random.gamma(4, 0.4, PEOPLE * PHOTOS).astype(np.float16),
        "identity_sigma": np.array([5.0, 4, 3, 2, 1], np.float32),
        "basis_gram": (root @ root.T).astype(np.float32),
    }


@pytest.fixture(scope="module")
def runs():
    return [predictions(0.5, 0), predictions(0.5, 1)]


def test_distances_are_those_of_the_gram_matrix(runs):
    points, parameters = coordinates(runs[0], "geometry").numpy(), runs[0]["test_parameters"].astype(float)
    difference = parameters[3] - parameters[50]
    expected = np.sqrt(difference @ runs[0]["basis_gram"].astype(float) @ difference)
    assert np.linalg.norm(points[3] - points[50]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("space", "row"), [("parameters", 0), ("geometry", 1)])
def test_roc_curves_are_scikit_learns(space, row, runs):
    """Without interpolation: the largest true accept rate at a false accept rate of at most so much."""
    panel = roc_panels([Method("a", 0, runs), Method("b", 1, runs[:1])], "test")[row]
    assert panel.title == f"test: {space}" and panel.log == "x" and [s.y.shape[0] for s in panel.series] == [2, 1]
    pairs = verification_pairs(torch.from_numpy(runs[0]["test_identity"].astype(np.int64)))
    parameters = runs[0]["test_parameters"].astype(float)
    for run, drawn in zip(runs, panel.series[0].y, strict=True):
        parameters = run["test_parameters"].astype(float)
        a, b = parameters[pairs.first], parameters[pairs.second]
        if space == "parameters":
            a, b = a * run["identity_sigma"], b * run["identity_sigma"]
            scores = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        else:
            scores = -np.einsum("qi,ij,qj->q", a - b, run["basis_gram"].astype(float), a - b)
        false, true, _ = roc_curve(pairs.same, scores, drop_intermediate=False)
        assert drawn == pytest.approx([true[false <= far + 1e-12].max() for far in FARS], abs=0.01)


def test_cumulative_errors_are_shares_of_photos(runs):
    panel = error_panel([Method("a", 0, runs)], "test")
    (series,) = panel.series
    for run, drawn in zip(runs, series.y, strict=True):
        expected = [(run["test_shape_error"].astype(np.float32) <= level).mean() for level in series.x]
        assert drawn == pytest.approx(expected)
    assert series.y[:, -1].min() >= 0.98 and series.y[:, 0].max() <= 0.05


def test_people_who_are_apart_stay_apart_on_the_map(runs):
    near = Method("near", 0, [predictions(0.05)], {"silhouette_param": 0.9, "silhouette_geometry": None})
    rows = map_panels([near])
    assert [panel.title for (panel,) in rows] == ["near: parameters", "near: geometry"]
    assert [panel.x_label for (panel,) in rows] == ["silhouette of all people 0.90", ""]
    for (panel,) in rows:
        assert [len(series.x) for series in panel.series] == [PHOTOS] * MAPPED_PEOPLE and panel.map
        places = np.concatenate([np.stack([series.x, series.y], 1) for series in panel.series])
        assert silhouette_score(places, np.repeat(np.arange(MAPPED_PEOPLE), PHOTOS)) > 0.5
    again = map_panels([near])
    assert all(np.array_equal(a.x, b.x) for a, b in zip(rows[0][0].series, again[0][0].series, strict=True))


def test_what_a_run_lacks_costs_that_picture_alone(runs):
    lacking = {name: values for name, values in runs[0].items() if name != "identity_sigma"}
    with pytest.raises(RecfaceError, match="did not store identity_sigma; run it again"):
        pair_scores(lacking, "parameters")
    found = run_pictures(lacking, {})
    assert list(found) == ["errors", "maps"] and found["maps"].startswith(b"\x89PNG")
    same = runs[0] | {"test_parameters": np.zeros((PEOPLE * PHOTOS, MODES), np.float16)}
    with pytest.raises(RecfaceError, match="one shape for everybody, which has no map"):
        map_panels([Method("mean", 0, [same])])
