"""The table of shape models, whose rows are blocks of metrics in the records of one program: from records to files."""

import csv
import json
import shutil

import numpy as np
import pytest
import scipy.stats
from tests.conftest import ROOT

from recface.results.build import CURRENT, check_tables, render, write_tables
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.table import build
from recface.tracking import RunFolder, new_record
from recface.versions import SCAN_VERSION, SHAPE_MODEL_VERSION

VERSIONS = {"scan": SCAN_VERSION, "shape_model": SHAPE_MODEL_VERSION}
TABLE = ROOT / "configs" / "table" / "sfm_model.yaml"
ROWS = list(read_spec(TABLE).titles())


def metrics(seed):
    generator = np.random.default_rng(seed)
    jitter = float(generator.normal())
    return {
        row: {
            "generalisation_mm@4": 2.0 + 0.1 * jitter,
            "generalisation_mm@9": (1.0 + 0.1 * jitter) * (1.02 + 0.001 * seed if row == "sfm" else 1.0),
            "silhouette": 0.2 + 0.01 * jitter + (0.3 if row == "sfm" else 0.0),
            "nmcd": 0.4 + 0.01 * jitter - (0.2 if row == "sfm" else 0.0),
            "strength": 1.0,
        }
        for row in ROWS
    }


@pytest.fixture
def runs(tmp_path):
    scan = {"people": 9, "scans_each": 2, "source": "model", "expression": "learned", "modes": None}
    config = {"face_model": {"name": "makehuman", "path": None}, "sfm": {"scan": scan}}
    for seed, versions in ((0, VERSIONS), (1, VERSIONS), (2, VERSIONS), (3, {"scan": 0, "shape_model": 0})):
        folder = RunFolder.open(tmp_path / "runs" / "sfm_model" / "abcd1234" / f"seed={seed}")
        folder.start(new_record("sfm_model", "abcd1234", seed, config, versions=versions))
        folder.finish(metrics(seed))
    folder = RunFolder.open(tmp_path / "runs" / "sfm_model" / "beef5678" / "seed=0")
    other = {"face_model": {"name": "ict"}, "sfm": {"scan": scan | {"modes": 20}}}
    folder.start(new_record("sfm_model", "beef5678", 0, other, versions=VERSIONS))
    folder.finish(metrics(9))
    return tmp_path / "runs"


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / "configs" / "table"
    folder.mkdir(parents=True)
    shutil.copy(TABLE, folder)
    return folder


@pytest.fixture
def table(runs):
    return build(read_spec(TABLE), find_records(runs, "none"), CURRENT)


def test_each_configuration_has_a_block_without_outdated_records(table):
    first, second = table.blocks  # the embedded head's first
    assert first.block.name == "makehuman-learned-abcd1234" and second.block.name == "ict-learned-beef5678"
    assert "9 people x 2 scans" in first.block.title and "identity modes all" in first.block.title
    assert "identity modes 20" in second.block.title
    assert list(first.runs.finished) == ROWS and sorted(first.runs.finished["sfm"]) == [0, 1, 2]
    assert table.provenance.startswith("4 records, ")


def test_a_block_can_be_split_over_the_configurations_that_it_selects(runs):
    spec = read_spec(TABLE)
    chosen = spec.blocks[0].model_copy(update={"select": {"face_model.name": "ict"}})
    blocks = build(spec.model_copy(update={"blocks": [chosen]}), find_records(runs, "none"), CURRENT).blocks
    assert [table.block.name for table in blocks] == ["ict-learned-beef5678"]


def test_a_metric_is_that_of_all_modes(table):
    cell = table.blocks[0].cells["sfm", "generalisation_mm"]
    assert cell.per_seed == {seed: metrics(seed)["sfm"]["generalisation_mm@9"] for seed in range(3)}
    assert "truth_mm" not in {column.metric for column in table.blocks[0].columns}  # nobody has it


def test_differences_are_paired_and_relative_where_the_column_says_so(table):
    found = table.blocks[0].differences["sfm", "generalisation_mm"]
    deltas = [2.0, 2.1, 2.2]
    low, high = scipy.stats.t(2, 2.1, scipy.stats.sem(deltas)).interval(0.95)
    assert list(found.per_seed.values()) == pytest.approx(deltas)
    assert (found.value, found.test.low, found.test.high) == pytest.approx((2.1, low, high))
    assert found.test.method == "seeds" and found.family == len(ROWS) - 1
    assert table.blocks[0].differences["sfm", "nmcd"].value == pytest.approx(-0.2)


def test_rows_that_print_the_same_are_all_best(table):
    cells = table.blocks[0].cells
    assert {row for row in ROWS if cells[row, "generalisation_mm"].best} == set(ROWS) - {"sfm"}


def test_files(runs, configs, tmp_path):
    files = render(configs, runs, tmp_path / "none")
    ends = ("md", "csv", "tex", "long.csv", "differences.csv")
    assert set(files) == {
        "README.md",
        *(f"sfm_model.{end}" for end in ends),
        *(f"figures/sfm_model.{end}" for end in ("png", "pdf")),
    }
    assert files["figures/sfm_model.png"].startswith(b"\x89PNG")
    header, *lines = csv.reader(files["sfm_model.long.csv"].decode().splitlines())
    found = {tuple(line[i] for i in (0, 3, 4)): float(line[5]) for line in lines if line[1].startswith("makehuman")}
    assert header[:6] == ["experiment", "block", "protocol", "metric", "seed", "value"]
    assert len(found) == len(ROWS) * 3 * 6  # five that were recorded, and the one of all modes
    expected = metrics(2)["sfm"]
    for metric in ("generalisation_mm@4", "nmcd", "strength"):
        assert found["sfm", metric, "2"] == pytest.approx(expected[metric], rel=1e-7)
    text = files["sfm_model.md"].decode()
    assert "+2.10% [" in text and "fitted to the scan by least squares" in text


def test_nothing_evaluated_gives_no_files(configs, tmp_path):
    assert set(render(configs, tmp_path / "none", tmp_path / "none")) == {"README.md"}


def test_records_are_archived_and_the_table_rebuilds_from_them(runs, configs, tmp_path):
    results = tmp_path / "results"
    write_tables(configs, runs, results)
    kept = sorted(path.name for path in (results / "records").glob("sfm_model-abcd1234-*"))
    assert kept == [f"sfm_model-abcd1234-seed{seed}.json" for seed in (0, 1, 2)]
    assert json.loads((results / "records" / kept[0]).read_text())["metrics"]["pca"]["strength"] == 1.0
    check_tables(configs, tmp_path / "no_runs", results)
    again = render(configs, tmp_path / "no_runs", results, with_figures=False)
    assert again["sfm_model.md"] == (results / "sfm_model.md").read_bytes()
