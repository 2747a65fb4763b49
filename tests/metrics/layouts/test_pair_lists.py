"""LFW's lists and InsightFace's verification files: the pairs that they name, and numbers against the sources' code."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize
from tests.official.benchmarks import write_bin, write_lfw

from recface.errors import RecfaceError
from recface.metrics.functional.verification import insightface_accuracies
from recface.metrics.layouts import LAYOUTS
from recface.metrics.protocols import BENCHMARKS, Predictions
from recface.metrics.readers.match import match
from recface.metrics.readers.pairs import read_people
from recface.results.evaluate import evaluate

VIEW2, VIEW1 = BENCHMARKS["lfw-10fold-cos/v1"], BENCHMARKS["lfw-view1-cos/v1"]
FLIP = BENCHMARKS["insightface-flip-10fold/v1"]


@pytest.fixture(scope="module")
def lfw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lfw")
    write_lfw(folder)
    return folder


def like(people: list[str], noise: float, photos: int = 4) -> tuple[list[str], np.ndarray]:
    """Photos under the paths that LFW has them at, and parameters of which those of one person are alike."""
    random = np.random.default_rng(0)
    names = [f"lfw/{name}/{name}_{number:04d}.jpg" for name in people for number in range(1, photos + 1)]
    centers = random.normal(size=(len(people), 12)).repeat(photos, 0)
    return names, centers + noise * random.normal(size=centers.shape)


def test_lfw_in_ten_folds_with_ids_as_paths(lfw, tmp_path) -> None:
    names, parameters = like(list(read_people(lfw / "people.txt")), 0.02)
    np.savez(tmp_path / "p.npz", ids=names, parameters=parameters)
    found = evaluate(tmp_path / "p.npz", None, lfw, layout="lfw")
    assert found["protocol"] == VIEW2.id and found["pairs"] == 6000 and found["samples"] == 160
    assert found["values"]["accuracy"] > 0.99
    truth = LAYOUTS["lfw"].read(lfw, VIEW2, [])
    assert truth.pairs["fold"].value_counts().tolist() == [600] * 10
    assert truth.pairs.groupby("fold")["same"].sum().tolist() == [300] * 10


def test_view_1_takes_the_threshold_from_the_training_pairs(lfw) -> None:
    names, parameters = like([name for name, (fold, _) in read_people(lfw / "people.txt").items() if fold < 2], 1.2)
    truth = LAYOUTS["lfw"].read(lfw, VIEW1, [])
    assert truth.pairs["fold"].value_counts().to_dict() == {0: 2200, 1: 1000}
    row_of = {name.rpartition("/")[2].removesuffix(".jpg"): row for row, name in enumerate(names)}
    unit = normalize(parameters)
    scores = np.array([unit[row_of[a]] @ unit[row_of[b]] for a, b in truth.pairs[["first", "second"]].to_numpy()])
    same, train = truth.pairs["same"].to_numpy(), truth.pairs["fold"].to_numpy() == 0
    thresholds = np.unique(scores[train])
    right = [np.mean((scores[train] >= threshold) == same[train]) for threshold in thresholds]
    assert 0.5 < max(right) < 1
    best = thresholds[np.flatnonzero(np.isclose(right, max(right)))[-1]]
    predictions = Predictions(tuple(names), parameters=parameters)
    matched = match(predictions, truth, VIEW1)
    found = VIEW1.evaluate(matched.predictions, matched.truth)
    assert found == {"accuracy": pytest.approx(np.mean((scores[~train] >= best) == same[~train]))}
    with pytest.raises(RecfaceError, match="give the folder of LFW with --layout lfw"):
        VIEW1.evaluate(matched.predictions, replace(matched.truth, pairs=matched.truth.pairs.assign(fold=0)))


def test_people_lists(lfw, tmp_path) -> None:
    people = read_people(lfw / "people.txt")
    assert len(people) == 40 and people["Person_c_2"] == (2, 4)
    assert read_people(lfw / "peopleDevTest.txt") == {f"Person_b_{number}": (0, 4) for number in range(4)}
    for text, said in (
        ("2\n1\nA\t3\n2\nB\t1\n", "line 4: 2 people announced, 1 follow"),
        ("2\nA\t3\nB\tx\n", "line 3: expected 'name number', not 'B"),
        ("2\nA B\t3\n", "line 2: expected 'name number'"),
        ("2\n", "line 1: 2 people announced, 0 follow"),
        ("", "no people"),
    ):
        (tmp_path / "people.txt").write_text(text)
        with pytest.raises(RecfaceError, match=said):
            read_people(tmp_path / "people.txt")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("people.txt", "Person_a_0\t4", "Person_a_0\t3", "pairs.txt: line 4: Person_a_0_0004 is not a photo of fold 0"),
        (
            "people.txt",
            "Person_b_0\t4",
            "Person_x_0\t4",
            "pairs.txt: line 602: Person_b_0_0001 is not a photo of",
        ),
        ("pairs.txt", "10\t300", "10\t200", "6000 pairs, but its first line announces 4000"),
        ("pairs.txt", "10\t300", "people", "line 1: expected 'first second same'"),
    ],
)
def test_lists_that_contradict_each_other_are_named(tmp_path, name, old, new, said) -> None:
    write_lfw(tmp_path)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(RecfaceError, match=said) as caught:
        LAYOUTS["lfw"].read(tmp_path, VIEW2, [])
    assert "\n" not in str(caught.value)


def test_missing_lists_are_named(lfw, tmp_path) -> None:
    with pytest.raises(RecfaceError, match="no pairsDevTrain.txt; LFW's lists are pairs.txt"):
        LAYOUTS["lfw"].read(tmp_path, VIEW1, [])
    (tmp_path / "pairsDevTrain.txt").write_text("10\t300\n")
    (tmp_path / "pairsDevTest.txt").write_text("")
    with pytest.raises(RecfaceError, match=r"line 1: 10 folds; one number is \(LFW's View 1\)"):
        LAYOUTS["lfw"].read(tmp_path, VIEW1, [])
    (tmp_path / "pairsDevTrain.txt").write_text("1\nA\t1\t2\nA\t1\tB\t1\n")
    with pytest.raises(RecfaceError, match="pairsDevTest.txt: line 1: expected the number of pairs, not ''"):
        LAYOUTS["lfw"].read(tmp_path, VIEW1, [])
    (tmp_path / "pairsDevTest.txt").write_text("1\nA\t1\t2\nA\t1\tB\t1\n")
    with pytest.raises(RecfaceError, match="4 pairs, the list of lfw-view1-cos/v1 has 3,200"):
        LAYOUTS["lfw"].read(tmp_path, VIEW1, [])


def insightface(embeddings: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Accuracies of ten folds as InsightFace's code finds them: a loop over folds and thresholds."""
    distance = ((embeddings[0::2] - embeddings[1::2]) ** 2).sum(axis=1)
    thresholds, found = np.arange(0, 4, 0.01), []
    for train, test in KFold(10, shuffle=False).split(distance):
        rates = [np.mean((distance[train] < threshold) == same[train]) for threshold in thresholds]
        found.append(np.mean((distance[test] < thresholds[np.argmax(rates)]) == same[test]))
    return np.array(found)


@pytest.mark.parametrize("pairs", [40, 57])
def test_the_flip_sum_against_insightface_s_formula(tmp_path, pairs) -> None:
    write_bin(tmp_path / "mini.bin", pairs)
    random, same = np.random.default_rng(pairs), np.arange(pairs) % 2 == 0
    first = random.normal(size=(pairs, 6))
    second = np.where(same[:, None], first + 0.9 * random.normal(size=first.shape), random.normal(size=first.shape))
    parameters = np.stack([first, second], 1).reshape(2 * pairs, 6)
    mirrored = parameters + 0.3 * random.normal(size=parameters.shape)
    ids = [f"{row}.png" for row in range(2 * pairs)]
    np.savez(tmp_path / "p.npz", ids=ids, parameters=parameters, mirrored=mirrored)
    found = evaluate(tmp_path / "p.npz", None, tmp_path / "mini.bin", layout="bin")
    expected = insightface(normalize(parameters + mirrored), same)
    assert 0.6 < expected.mean() < 1
    assert found["values"] == pytest.approx({"accuracy": expected.mean(), "accuracy_std": expected.std()})
    assert found["protocol"] == FLIP.id and found["pairs"] == pairs
    alone = evaluate(tmp_path / "p.npz", "pairs-10fold-cos/v1", tmp_path, layout="bin")
    assert alone["pairs"] == pairs and alone["values"]["accuracy"] > 0.5
    np.savez(tmp_path / "p.npz", ids=ids, parameters=parameters)
    with pytest.raises(RecfaceError, match="insightface-flip-10fold/v1 needs mirrored, which it does not hold"):
        evaluate(tmp_path / "p.npz", None, tmp_path / "mini.bin", layout="bin")


def test_the_lowest_threshold_wins_and_a_pair_on_it_is_refused() -> None:
    distance = torch.tensor([0.5, 1.5, 0.5, 1.5])
    same, fold = torch.tensor([True, False, True, False]), torch.tensor([0, 0, 1, 1])
    assert insightface_accuracies(distance, same, fold).tolist() == [1, 1]
    distance = torch.tensor([0.5, 1.5, 0.515, 1.5])  # the threshold is 0.51, the first above 0.5
    assert insightface_accuracies(distance, same, fold).tolist() == [1, 0.5]


def test_a_folder_with_one_bin_and_too_few_pairs(tmp_path) -> None:
    write_bin(tmp_path / "a.bin", 20)
    truth = LAYOUTS["bin"].read(tmp_path, FLIP, ["cfp/07.jpg", "x"])
    assert truth.pairs["first"].tolist()[3:5] == ["000006", "000008"] and truth.pairs["second"][3] == "cfp/07.jpg"
    assert truth.pairs["fold"].tolist() == list(np.arange(10).repeat(2)) and pd.unique(truth.pairs["same"]).size == 2
    write_bin(tmp_path / "b.bin", 19)
    with pytest.raises(RecfaceError, match="2 files with the ending .bin, expected one; name the file itself"):
        LAYOUTS["bin"].read(tmp_path, FLIP, [])
    with pytest.raises(RecfaceError, match="19 pairs are too few for ten folds"):
        LAYOUTS["bin"].read(tmp_path / "b.bin", FLIP, [])
    with pytest.raises(RecfaceError, match="no such file or folder"):
        LAYOUTS["bin"].read(tmp_path / "c.bin", FLIP, [])
