"""Registered meshes against scipy's rotation fit."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

PROTOCOL = BENCHMARKS["facewarehouse-similarity/v1"]


@pytest.fixture
def meshes(tmp_path) -> tuple[Predictions, Truth, np.ndarray]:
    """Two registered meshes of 60 vertices, and noisy predictions of them."""
    random = np.random.default_rng(0)
    targets = 60 * random.normal(size=(2, 60, 3))
    for number, target in enumerate(targets):
        np.savez(tmp_path / f"{number}.npz", vertices=target)
    table = pd.DataFrame({"id": ["a", "b"], "scan": ["0.npz", "1.npz"]})
    predicted = 1.2 * targets[..., [2, 0, 1]] + [5, 6, 7] + 3 * random.normal(size=targets.shape)
    return (
        Predictions(("a", "b"), vertices=predicted, where="method"),
        Truth(table, folder=tmp_path, where="fw.csv"),
        targets,
    )


def expected(source: np.ndarray, target: np.ndarray) -> float:
    """By scipy's rotation and the scale that follows from it."""
    x, y = source - source.mean(0), target - target.mean(0)
    turned = Rotation.align_vectors(y, x)[0].apply(x)
    return float(np.linalg.norm(np.sum(turned * y) / np.sum(x**2) * turned - y, axis=1).mean())


def test_one_topology_matches_scipy(meshes) -> None:
    predictions, truth, targets = meshes
    errors = [expected(*pair) for pair in zip(predictions.vertices, targets, strict=True)]
    found = PROTOCOL.evaluate(predictions, truth)
    assert found == pytest.approx({"error": np.mean(errors), "std": np.std(errors)}, abs=1e-9)


def test_another_topology_goes_by_correspondence_and_mask(meshes) -> None:
    predictions, truth, targets = meshes
    vertex_of, mask = np.random.default_rng(1).permutation(60), np.arange(60) % 3 > 0
    vertex_of[:5] = -1
    np.save(truth.folder / "to.npy", vertex_of)
    np.save(truth.folder / "mask.npy", mask)
    truth.table["correspondence"], truth.table["mask"] = "to.npy", "mask.npy"
    counts = mask & (vertex_of >= 0)
    errors = [expected(p[vertex_of[counts]], t[counts]) for p, t in zip(predictions.vertices, targets, strict=True)]
    assert PROTOCOL.evaluate(predictions, truth)["error"] == pytest.approx(np.mean(errors), abs=1e-9)


def test_bad_input_is_named_with_file_and_row(meshes) -> None:
    predictions, truth, targets = meshes
    np.savez(truth.folder / "1.npz", vertices=targets[1][:59])
    with pytest.raises(RecfaceError, match=r"fw.csv: line 3 \(id b\): method, b: 60 predicted vertices .* mesh of 59"):
        PROTOCOL.evaluate(predictions, truth)
    np.save(truth.folder / "to.npy", np.array([0, 1, 60] * 20))
    truth.table["correspondence"] = "to.npy"
    with pytest.raises(RecfaceError, match=r"line 2 .*correspondence 2 names vertex 60 of 60"):
        PROTOCOL.evaluate(predictions, truth)
    np.save(truth.folder / "to.npy", np.full(60, -1))
    with pytest.raises(RecfaceError, match="only 0 vertices correspond"):
        PROTOCOL.evaluate(predictions, truth)
    (truth.folder / "to.npy").write_text("no array")
    with pytest.raises(RecfaceError, match=r"to.npy: not a readable npy"):
        PROTOCOL.evaluate(predictions, truth)
