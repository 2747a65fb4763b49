"""The table of shape models: from records to files."""

import csv
import json
import re

import numpy as np
import pytest

from recface.results import sfm_model
from recface.results.build import check_tables, render, write_tables
from recface.results.records import find_records
from recface.results.sfm_model import ROWS, difference, group_entries
from recface.tracking import RunFolder, new_record
from recface.versions import SCAN_VERSION, SHAPE_MODEL_VERSION

VERSIONS = {"scan": SCAN_VERSION, "shape_model": SHAPE_MODEL_VERSION}


def metrics(seed):
    generator = np.random.default_rng(seed)
    jitter = float(generator.normal())
    return {
        row: {
            "generalisation_mm@4": 2.0 + 0.1 * jitter,
            "generalisation_mm@9": (1.0 + 0.1 * jitter) * (1.02 if row == "sfm" else 1.0),
            "silhouette": 0.2 + 0.01 * jitter + (0.3 if row == "sfm" else 0.0),
            "nmcd": 0.4 + 0.01 * jitter - (0.2 if row == "sfm" else 0.0),
            "strength": 1.0,
        }
        for row in ROWS
    }


@pytest.fixture
def runs(tmp_path):
    scan = {"people": 9, "scans_each": 2, "source": "model", "expression": "learned"}
    config = {"face_model": {"name": "makehuman", "path": None}, "sfm": {"scan": scan}}
    for seed, versions in ((0, VERSIONS), (1, VERSIONS), (2, VERSIONS), (3, {"scan": 0, "shape_model": 0})):
        folder = RunFolder.open(tmp_path / "runs" / "sfm_model" / "abcd1234" / f"seed={seed}")
        folder.start(new_record("sfm_model", "abcd1234", seed, config, versions=versions))
        folder.finish(metrics(seed))
    return tmp_path / "runs"


def test_outdated_records_are_left_out(runs, tmp_path):
    (group,) = group_entries(find_records(runs, tmp_path / "none"))
    assert sorted(group.runs) == [0, 1, 2] and group.modes == 9


def test_differences_are_paired(runs, tmp_path):
    (group,) = group_entries(find_records(runs, tmp_path / "none"))
    found = difference(group, "sfm", "generalisation_mm@", True)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert found.per_seed == pytest.approx({0: 2.0, 1: 2.0, 2: 2.0})
    found = difference(group, "sfm", "nmcd", False)
    assert found.value == pytest.approx(-0.2) and found.high < 0
    assert difference(group, "pca", "nmcd", False).value == 0


def test_files(runs, tmp_path):
    files = sfm_model.render(find_records(runs, tmp_path / "none"))
    assert set(files) == {f"sfm_model.{end}" for end in ("md", "csv", "tex", "long.csv", "png")}
    assert files["sfm_model.png"].startswith(b"\x89PNG")
    header, *lines = csv.reader(files["sfm_model.long.csv"].decode().splitlines())
    assert header[:5] == ["model", "metric", "modes", "seed", "value"]
    assert len(lines) == len(ROWS) * 3 * 5
    found = {tuple(line[:4]): float(line[4]) for line in lines}
    expected = metrics(2)["sfm"]
    assert found["sfm", "generalisation_mm", "4", "2"] == pytest.approx(expected["generalisation_mm@4"], rel=1e-7)
    assert found["sfm", "nmcd", "9", "2"] == pytest.approx(expected["nmcd"], rel=1e-7)
    text = files["sfm_model.md"].decode()
    assert re.search(r"\| SFM +\| +\*\*\+2\.00 \[\+2\.00, \+2\.00\]\*\* \| +\*\*\+0\.300", text)
    assert "truth" not in text.split("## ")[1]  # a column that nobody has is left out


def test_nothing_evaluated_gives_no_files(tmp_path):
    assert sfm_model.render([]) == {}


def test_records_are_archived_and_the_table_rebuilds_from_them(runs, tmp_path, table_configs):
    results = tmp_path / "results"
    write_tables(table_configs, runs, results)
    kept = sorted(path.name for path in (results / "records").glob("sfm_model-*"))
    assert kept == [f"sfm_model-abcd1234-seed{seed}.json" for seed in (0, 1, 2)]
    assert json.loads((results / "records" / kept[0]).read_text())["metrics"]["pca"]["strength"] == 1.0
    check_tables(table_configs, tmp_path / "no_runs", results)
    again = render(table_configs, tmp_path / "no_runs", results, with_figures=False)
    assert again["sfm_model.md"] == (results / "sfm_model.md").read_bytes()
