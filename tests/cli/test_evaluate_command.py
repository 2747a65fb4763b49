"""`recface evaluate --layout` from the command line, and its mistakes in one line."""

import json

import numpy as np
import pytest
from tests.official.benchmarks import write_aflw2000

from recface.cli.declaration import BENCHMARK_FOLDERS
from recface.cli.program import main
from recface.metrics.layouts import LAYOUTS
from recface.results.evaluate import UNITS


@pytest.fixture
def folder(tmp_path):
    write_aflw2000(tmp_path / "3DDFA")
    points = np.load(tmp_path / "3DDFA" / "test.configs" / "AFLW2000-3D.pts68.npy")[:, :2].transpose(0, 2, 1) - 0.5
    ids = [f"image{2 * row:05d}" for row in range(1, len(points) + 1)]
    np.savez(tmp_path / "right.npz", ids=ids, landmarks=points)
    return tmp_path


def test_a_perfect_prediction_has_no_error(folder, capsys) -> None:
    options = ["--data", folder / "3DDFA", "--predictions", folder / "right.npz", "--json", folder / "out.json"]
    assert main(["evaluate", "--layout", "aflw2000", *map(str, options)]) == 0
    printed, report = capsys.readouterr().out, json.loads((folder / "out.json").read_text())
    assert "aflw2000-nme-68-original-pose/v2" in printed and "24 samples" in printed
    assert report["values"]["nme"] == pytest.approx(0, abs=1e-4) and report["template_mask"] is None


def test_the_command_line_knows_every_layout_and_unit() -> None:
    assert tuple(LAYOUTS) == BENCHMARK_FOLDERS
    assert UNITS == {"mm": 1, "cm": 10, "dm": 100, "m": 1000, "um": 0.001}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layout", "bosphorus"], "argument --layout: invalid choice: 'bosphorus'"),
        (["--layout", "now"], "--data is missing"),
        (["--layout", "now", "--data", "nowhere"], "--data nowhere: no such file or folder"),
        (["--layout", "now", "--protocol", "aflw2000-nme/v1", "--data", "."], "--layout now has no protocol aflw2000"),
        (["--layout", "realy", "--data", ".", "--template-mask", "m.txt"], "--template-mask is of the template"),
        (["--unit", "miles"], "argument --unit: invalid choice: 'miles'"),
    ],
)
def test_a_mistake_is_one_line(folder, options, said, capsys) -> None:
    assert main(["evaluate", "--predictions", str(folder / "right.npz"), *options]) == 1
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and printed.out == ""
