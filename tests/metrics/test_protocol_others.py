"""Landmark, clustering and correspondence protocols against loops and scikit-learn, and what every protocol states."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from sklearn import metrics
from tests.metrics.test_protocol_verification import scene

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth
from recface.metrics.protocols.shapes import LANDMARK_COLUMNS


def test_every_protocol_states_what_it_is() -> None:
    assert len(BENCHMARKS) >= 38
    for name, protocol in BENCHMARKS.items():
        text = type(protocol).__doc__
        for word in ("Source:", "Alignment:", "Crop:", "Similarity:", "Unit:"):
            assert word in text, f"{name} does not state {word}"
        assert name == protocol.id and name.rpartition("/v")[2].isdigit()
        assert protocol.source and protocol.values and protocol.needs
        assert protocol.direction in ("lower", "higher") and protocol.unit in ("mm", "%", "")


def landmarks(seed: int = 0, count: int = 50) -> tuple[Predictions, Truth]:
    random = np.random.default_rng(seed)
    true = random.uniform(0, 450, size=(count, 68, 2))
    yaw = random.uniform(-90, 90, size=count)
    yaw[:4] = (30, -30, 60, -60)
    ids = tuple(f"image{i:05d}" for i in range(count))
    table = pd.DataFrame(true.reshape(count, -1), columns=list(LANDMARK_COLUMNS))
    table = pd.concat([pd.DataFrame({"id": ids, "yaw": yaw, "landmark_version": "original"}), table], axis=1)
    return Predictions(ids, landmarks=(true + random.normal(size=true.shape) * 5).astype(np.float32)), Truth(table)


def test_nme_against_a_loop() -> None:
    predictions, truth = landmarks()
    found = BENCHMARKS["aflw2000-nme/v1"].evaluate(predictions, truth)
    bins: dict[str, list[float]] = {"nme_0_30": [], "nme_30_60": [], "nme_60_90": []}
    every = []
    for row, predicted in zip(truth.table.to_dict("records"), predictions.landmarks, strict=True):
        xs = [row[f"x{i}"] for i in range(1, 69)]
        ys = [row[f"y{i}"] for i in range(1, 69)]
        size = ((max(xs) - min(xs)) * (max(ys) - min(ys))) ** 0.5
        distances = [((p[0] - x) ** 2 + (p[1] - y) ** 2) ** 0.5 for p, x, y in zip(predicted, xs, ys, strict=True)]
        every.append(100 * sum(distances) / 68 / size)
        angle = abs(row["yaw"])
        bins["nme_0_30" if angle <= 30 else "nme_30_60" if angle <= 60 else "nme_60_90"].append(every[-1])
    expected = {key: sum(values) / len(values) for key, values in bins.items()}
    expected |= {"nme_balanced": sum(expected.values()) / 3, "nme": sum(every) / len(every), "beyond_90": 0}
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_two_landmark_versions_do_not_mix() -> None:
    predictions, truth = landmarks()
    with pytest.raises(RecfaceError, match="image00000 has landmark_version 'original'.*takes 'reannotated' alone"):
        BENCHMARKS["aflw2000-nme-reannotated/v1"].evaluate(predictions, truth)
    table = truth.table.assign(landmark_version=["reannotated"] * 49 + ["original"])
    with pytest.raises(RecfaceError, match="image00049"):
        BENCHMARKS["aflw2000-nme-reannotated/v1"].evaluate(predictions, replace(truth, table=table))
    one = replace(truth, table=truth.table.assign(landmark_version="reannotated"))
    found = BENCHMARKS["aflw2000-nme-reannotated/v1"].evaluate(predictions, one)
    assert found == BENCHMARKS["aflw2000-nme/v1"].evaluate(predictions, truth)


def test_photos_beyond_90_degrees_are_counted() -> None:
    predictions, truth = landmarks()
    table = truth.table.assign(yaw=[95.0, -91.0, *truth.table["yaw"][2:]])
    found = BENCHMARKS["aflw2000-nme/v1"].evaluate(predictions, replace(truth, table=table))
    assert found["beyond_90"] == 2
    assert found["nme"] == pytest.approx(BENCHMARKS["aflw2000-nme/v1"].evaluate(predictions, truth)["nme"])


@pytest.mark.parametrize("space", ["parameters", "geometry", "geometry from a basis"])
def test_clustering_against_scikit_learn(space) -> None:
    predictions, truth, basis, mean = scene()
    x = predictions.parameters.astype(np.float64)
    if space != "parameters":
        x = predictions.vertices.reshape(len(x), -1).astype(np.float64) / np.sqrt(predictions.vertices.shape[1])
    if space == "geometry from a basis":
        predictions = replace(predictions, vertices=None, basis=basis, mean=mean)
    found = BENCHMARKS[f"clustering-{space.split()[0]}/v1"].evaluate(predictions, truth)
    labels = truth.table["identity"].to_numpy()
    centers = np.array([x[labels == name].mean(axis=0) for name in labels])
    people = np.unique(centers, axis=0)
    between = [((a - b) ** 2).sum() for i, a in enumerate(people) for j, b in enumerate(people) if i != j]
    expected = {
        "silhouette": metrics.silhouette_score(x, labels),
        "calinski_harabasz": metrics.calinski_harabasz_score(x, labels),
        "davies_bouldin": metrics.davies_bouldin_score(x, labels),
        "nmcd": ((x - centers) ** 2).sum(axis=1).mean() / np.mean(between),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def moved(shapes: np.ndarray, scale: float) -> np.ndarray:
    turn = Rotation.from_euler("xyz", (20, -35, 10), degrees=True).as_matrix()
    return (scale * shapes @ turn.T + np.array([40.0, -10, 300])).astype(np.float32)


def test_correspondence_error(tmp_path) -> None:
    """A similarity is undone, a rigid alignment keeps the size; an error of known size is measured."""
    random = np.random.default_rng(1)
    true = random.normal(size=(2, 200, 3)) * 40
    np.savez(tmp_path / "shapes.npz", ids=np.array(["ann", "bob"]), vertices=true)
    ids = ("a1", "b1", "a2")
    truth = Truth(pd.DataFrame({"id": ids, "shape": ["ann", "bob", "ann"]}), folder=tmp_path)
    shapes = moved(true[[0, 1, 0]], 1.1)
    predictions = Predictions(ids, vertices=shapes)
    similar, rigid = (BENCHMARKS[f"correspondence-{name}/v1"] for name in ("similarity", "rigid"))
    assert similar.evaluate(predictions, truth)["mean"] < 1e-4
    centered = true[[0, 1, 0]] - true[[0, 1, 0]].mean(axis=1, keepdims=True)
    expected = 0.1 * np.linalg.norm(centered, axis=-1).mean(axis=1)  # what is left is the size
    found = rigid.evaluate(predictions, truth)
    assert found == pytest.approx(
        {"mean": expected.mean(), "median": np.median(expected), "std": expected.std()}, rel=1e-4
    )
    noisy = Predictions(ids, vertices=moved(true[[0, 1, 0]] + random.normal(size=(3, 200, 3)), 1.0))
    assert rigid.evaluate(noisy, truth)["mean"] == pytest.approx(1.596, abs=0.1)  # mean norm of a 3D normal
    with pytest.raises(RecfaceError, match="199 vertices, but 200 in the true shapes"):
        similar.evaluate(Predictions(ids, vertices=shapes[:, :199]), truth)


def test_true_shapes_are_cut_to_the_predictions_region(tmp_path) -> None:
    predictions, _, basis, mean = scene()
    whole = np.concatenate([predictions.vertices, 1e3 + predictions.vertices], axis=1)
    np.savez(tmp_path / "shapes.npz", ids=np.array(predictions.ids), vertices=whole[:, :, :] / 10)
    region = np.arange(60) < 30
    truth = Truth(pd.DataFrame({"id": predictions.ids, "shape": predictions.ids}), folder=tmp_path)
    cut = replace(predictions, vertices=None, basis=basis / 10, mean=mean / 10, region=region)
    assert BENCHMARKS["correspondence-rigid/v1"].evaluate(cut, truth)["mean"] < 1e-4


def test_units_of_single_numbers_are_of_numbers_that_there_are() -> None:
    for protocol in BENCHMARKS.values():
        assert set(protocol.units) <= set(protocol.values)
    assert BENCHMARKS["micc-genova-mean/v1"].units == {"scale": "", "share": ""}
