"""`recface evaluate`, as a user runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import ROOT

from recface.cli.program import main
from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS
from recface.results.evaluate import find_protocol, listing, markdown


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "recface", "evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def task(tmp_path):
    """40 pairs of 41 samples, and a method's parameters of all of them."""
    random = np.random.default_rng(0)
    (tmp_path / "pairs.txt").write_text("\n".join(f"p{i} p{i + 1} {i % 2}" for i in range(40)))
    parameters = random.normal(size=(41, 5)).astype(np.float32)
    for i in range(1, 40, 2):
        parameters[i + 1] = parameters[i] + 0.1 * random.normal(size=5)
    np.savez(tmp_path / "predictions.npz", ids=[f"p{i}" for i in range(41)], parameters=parameters)
    return tmp_path


def test_every_protocol_and_column_is_listed() -> None:
    text, table = listing(), markdown()
    for name in (*BENCHMARKS, *(column.id for column in (*PROTOCOLS.values(), *PHOTO_PROTOCOLS.values()))):
        assert name in text and f"`{name}`" in table


def test_docs_hold_the_table_of_all_protocols() -> None:
    text = (ROOT / "docs" / "protocols.md").read_text()
    shown = text.partition("<!-- protocols -->\n")[2].partition("<!-- /protocols -->")[0]
    assert shown == markdown(), "docs/protocols.md is behind: recface evaluate --list --markdown prints its table"


def test_a_method_is_measured(task) -> None:
    done = run("--predictions", task, "--protocol", "pairs-10fold-cos/v1", "--data", task / "pairs.txt", "--json",
               task / "out.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pairs-10fold-cos/v1" in done.stdout and "41 samples, 40 pairs; all vertices given" in done.stdout
    report = json.loads((task / "out.json").read_text())
    assert report["protocol"] == "pairs-10fold-cos/v1" and report["missing"] == 0 and report["samples"] == 41
    assert list(report["values"]) == list(BENCHMARKS["pairs-10fold-cos/v1"].values)
    assert report["values"]["accuracy"] > 0.9


def test_missing_predictions_are_an_error_or_counted(task, capsys) -> None:
    with np.load(task / "predictions.npz") as stored:
        np.savez(task / "predictions.npz", ids=stored["ids"][:-2], parameters=stored["parameters"][:-2])
    arguments = ["--predictions", str(task), "--protocol", "pairs-10fold-cos/v1", "--data", str(task / "pairs.txt")]
    assert main(["evaluate", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no prediction for id p39" in error and "--allow-missing" in error
    assert main(["evaluate", *arguments, "--allow-missing", "--json", str(task / "out.json")]) == 0
    assert "left out, since they have no prediction: 2, and with them 2 pairs" in capsys.readouterr().out
    report = json.loads((task / "out.json").read_text())
    assert (report["missing"], report["missing_pairs"], report["pairs"]) == (2, 2, 38)


def test_a_number_that_cannot_be_measured_is_null(tmp_path, capsys) -> None:
    (tmp_path / "manifest.csv").write_text("id,template,media\n" + "".join(f"f{i},t{i},m\n" for i in range(30)))
    lines = [f"t{i},t{j},{int(j == i + 1)}" for i in range(20) for j in (i + 1, i + 5)]
    (tmp_path / "pairs.csv").write_text("first,second,same\n" + "\n".join(lines))
    parameters = np.random.default_rng(0).normal(size=(30, 4))
    np.savez(tmp_path / "predictions.npz", ids=[f"f{i}" for i in range(30)], parameters=parameters)
    arguments = ["--predictions", str(tmp_path), "--protocol", "ijb-verification-cos/v1", "--data", str(tmp_path)]
    assert main(["evaluate", *arguments, "--json", str(tmp_path / "out.json")]) == 0
    values = json.loads((tmp_path / "out.json").read_text())["values"]
    assert values["tar_at_far_1e1"] is not None and values["tar_at_far_1e3"] is None
    assert "nan" not in capsys.readouterr().out.lower().replace("nan with too few", "")


def test_what_is_wrong_is_one_line() -> None:
    for arguments, said in (
        (["--predictions", "none"], "--protocol is missing"),
        (["--predictions", "none", "--protocol", "lfw-10fold-cos/v1"], "--data is missing"),
        (["--predictions", "none", "--protocol", "lfw-10fold-cosine/v1", "--data", "x"], "near are lfw-10fold-cos/v1"),
        (["--all", "--runs", "none", "--records", "none"], "no runs in none or none"),
    ):
        done = run(*arguments)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr
        assert done.stderr.startswith("recface evaluate: ")


def test_a_column_is_no_protocol_of_its_own() -> None:
    with pytest.raises(RecfaceError, match="shape-error-similarity/v1 is a column of our benchmark"):
        find_protocol("shape-error-similarity/v1")
