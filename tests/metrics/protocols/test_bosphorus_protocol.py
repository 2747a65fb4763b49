"""The SIR metric on Bosphorus's inputs against loops in plain NumPy."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

TRUE, DECODED = BENCHMARKS["bosphorus-sir-true/v1"], BENCHMARKS["bosphorus-sir-decoded/v1"]
PEOPLE = ["bs003", "bs000", "bs001"]


@pytest.fixture
def data(tmp_path) -> tuple[Predictions, Truth, dict[str, np.ndarray]]:
    """Three people, four photos each, five modes."""
    random = np.random.default_rng(0)
    references = {person: random.normal(size=5) for person in PEOPLE}
    for person, values in references.items():
        np.save(tmp_path / f"{person}.npy", values)
    labels = [person for _ in range(4) for person in PEOPLE]
    parameters = np.stack([0.6 * references[label] for label in labels]) + 0.5 * random.normal(size=(12, 5))
    ids = tuple(f"photo{number}" for number in range(12))
    table = pd.DataFrame({"id": ids, "identity": labels, "reference": [f"{label}.npy" for label in labels]})
    table["neutral"] = [1 if 3 <= row < 6 else 0 for row in range(12)]
    predictions = Predictions(ids, parameters=parameters, weights=np.array([60.0, 40, 20, 10, 5]), where="m.npz")
    return predictions, Truth(table, folder=tmp_path, where="bosphorus.csv"), references


def by_loops(parameters, labels, references, weights) -> dict[str, float]:
    def distance(a, b):
        return np.sqrt(sum((w * (x - y)) ** 2 for w, x, y in zip(weights, a, b, strict=True)))

    gains, hits = [], []
    for values, label in zip(parameters, labels, strict=True):
        d = {person: distance(values, reference) for person, reference in references.items()}
        gains.append(np.mean([d[other] for other in d if other != label]) - d[label])
        hits.append(min(d, key=d.get) == label)
    apart = [distance(references[a], references[b]) for a in references for b in references if a != b]
    return {"sir": np.mean(gains) / np.mean(apart), "rank1": np.mean(hits)}


def test_true_references_match_loops(data) -> None:
    predictions, truth, references = data
    expected = by_loops(predictions.parameters, truth.table["identity"], references, predictions.weights)
    assert 0 < expected["rank1"] < 1
    assert TRUE.evaluate(predictions, truth) == pytest.approx(expected, abs=1e-9)


def test_decoded_references_match_loops_and_are_no_probes(data) -> None:
    predictions, truth, _ = data
    labels, neutral = truth.table["identity"].to_numpy(), truth.table["neutral"].to_numpy() == 1
    references = {labels[row]: predictions.parameters[row] for row in np.flatnonzero(neutral)}
    expected = by_loops(predictions.parameters[~neutral], labels[~neutral], references, predictions.weights)
    assert DECODED.evaluate(predictions, truth) == pytest.approx(expected, abs=1e-9)


def test_perfect_predictions_score_one(data) -> None:
    predictions, truth, references = data
    perfect = replace(predictions, parameters=np.stack([references[label] for label in truth.table["identity"]]))
    assert TRUE.evaluate(perfect, truth) == pytest.approx({"sir": 1, "rank1": 1})
    assert DECODED.evaluate(perfect, truth) == pytest.approx({"sir": 1, "rank1": 1})


def test_bad_input_is_named_with_file_and_row(data) -> None:
    predictions, truth, _ = data
    with pytest.raises(RecfaceError, match="m.npz: bosphorus-sir-true/v1 needs weights"):
        TRUE.evaluate(replace(predictions, weights=None), truth)
    broken = predictions.parameters.copy()
    broken[7, 2] = np.nan
    with pytest.raises(RecfaceError, match="row 7 of 12 is not finite"):
        TRUE.evaluate(replace(predictions, parameters=broken), truth)
    np.save(truth.folder / "bs001.npy", np.ones(6))
    with pytest.raises(
        RecfaceError, match=r"bosphorus.csv: line 4 \(id photo2\): .*bs001.npy: reference of shape \(6,\)"
    ):
        TRUE.evaluate(predictions, truth)
    np.save(truth.folder / "bs001.npy", np.ones(5))
    truth.table.loc[3, "reference"] = "bs000.npy"
    with pytest.raises(RecfaceError, match=r"line 5 \(id photo3\): bs000.npy is a second reference"):
        TRUE.evaluate(predictions, truth)
    truth.table.loc[3, "neutral"] = 0
    with pytest.raises(RecfaceError, match=r"line 2 \(id photo0\): this person has 0 neutral photos"):
        DECODED.evaluate(predictions, truth)
    truth.table["neutral"] = "maybe"
    with pytest.raises(RecfaceError, match=r"line 2 \(id photo0\): neutral is 'maybe'"):
        DECODED.evaluate(predictions, truth)
