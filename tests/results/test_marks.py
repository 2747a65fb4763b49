"""Holes, marks and the legend, on tables with everything that can go wrong at once."""

import json
import re

import pytest
import yaml
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.metrics.protocols.own_benchmark import PHOTO_PROTOCOLS, PROTOCOLS
from recface.results import markdown as cells
from recface.results.build import check_tables, render, write_tables
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.statistics import PEOPLE
from recface.results.table import build

SPEC = {
    "title": "A table",
    "blocks": [
        {"name": "full", "metrics": "benchmark", "select": {"face_model.name": "makehuman"}},
        {"name": "empty", "metrics": "benchmark", "select": {"face_model.name": "none"}},
        {"name": "alone", "metrics": "benchmark", "select": {"face_model.name": "ict"}},
    ],
    "rows": [
        {"experiment": "baseline", "title": "baseline"},
        {"experiment": "sir", "parent": "baseline"},
        {"experiment": "no_kl", "parent": "sir", "title": "no_kl"},
        {"experiment": "mean_face", "parent": "baseline"},
        {"experiment": "nobody", "parent": "sir"},
    ],
    "columns": [
        {"metric": "shape_error_mm", "title": "shape error (mm)", "direction": "lower"},
        {"metric": "geometry_auc", "direction": "higher"},
        {"metric": "geometry_acc", "direction": "higher"},
        {"metric": "param_energy", "target": 1},
        {"metric": "nmcd_geometry"},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs with one and with three seeds, an outdated one, a mean face whose metrics are null or NaN; two tables."""
    folder = tmp_path_factory.mktemp("marks")
    for experiment, noise in (("baseline", 1.2), ("sir", 0.6), ("no_kl", 0.9)):
        for seed in range(3):
            path = synthetic.make_run(folder / "runs", experiment, seed, noise)
            metrics(path, nmcd_geometry=0.5 * noise + 0.001 * seed, param_energy=noise**2 + 0.01 * seed)
    path = synthetic.make_run(folder / "runs", "mean_face", 0, 0.0)
    metrics(path, geometry_auc=float("nan"), geometry_acc=None)
    (path / "predictions.npz").unlink()
    synthetic.make_run(folder / "runs", "baseline", 0, 1.2, face_model="ict")
    synthetic.make_run(folder / "runs", "sir", 0, 0.6, face_model="ict", versions={"benchmark": 0})
    (folder / "configs" / "table").mkdir(parents=True)
    for name in ("first", "second"):
        (folder / "configs" / "table" / f"{name}.yaml").write_text(yaml.safe_dump(SPEC | {"name": name}))
    return folder


def metrics(path, **values):
    """Change recorded metrics by hand, as another program may write them."""
    record = json.loads((path / "run.json").read_text())
    record["metrics"]["benchmark"] |= values
    (path / "run.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def files(folder):
    configs = folder / "configs" / "table"
    found = render(configs, folder / "runs", folder / "results", False, {"benchmark": 1, "variant": 1})
    return {name: data.decode() for name, data in found.items()}


def test_holes_are_marks_and_no_crash(files, folder):
    values = files["first.md"].split("## Statistics")[0]
    line = re.search(r"\| mean_face +\|(.*)", values)[1].split("|")
    assert [cell.strip() for cell in line[2:4]] == ["–", "–"]
    assert float(line[1].strip(" *▲▼")) > 0
    line = re.search(r"\| nobody +\|(.*)\|", values)[1].split("|")
    assert [cell.strip() for cell in line] == ["0"] + 5 * ["×"]
    assert "No finished runs.\n" in files["first.md"]
    found = build(read_spec(folder / "configs/table/first.yaml"), find_records(folder / "runs", "none"))
    assert found.blocks[0].differences["mean_face", "shape_error_mm"].holm is None  # one seed, nothing stored
    one = found.blocks[2].differences["sir", "shape_error_mm"]
    assert one.test.method == PEOPLE and one.test.low < one.value < one.test.high and one.people == 20


def test_the_other_table_of_the_same_records_says_the_same(files):
    assert files["second.md"] == files["first.md"]
    assert files["second.differences.csv"] == files["first.differences.csv"]


def test_every_symbol_of_the_legend_occurs(files):
    page = files["first.md"]
    body, _, foot = page.partition("\n## How to read this page")
    listed = re.findall(r"^- (.*?): ", foot, re.MULTILINE)
    assert listed == [symbol.mark for symbol in cells.SYMBOLS]  # this table has them all
    for mark in ["±", "**", "↓", "↑", "→", "▲", "▼", "≠", "×", "–", "(outdated)", "P(better)"]:
        assert mark in body, mark
    assert "] t " in body and "] one seed " in body and re.search(r"\d s +\|", body) and "p (Holm)" in body
    index = files["README.md"]
    assert all(f"- {symbol.mark}: {symbol.meaning}" in index for symbol in cells.SYMBOLS)


def test_the_legend_holds_nothing_that_does_not_occur(files):
    assert cells.legend("| a | 1.0 |") == []
    assert [symbol.mark for symbol in cells.legend("| a | × |\n")] == ["×"]


def test_index_links_every_table_and_is_checked(files, folder):
    index = files["README.md"]
    for link in re.findall(r"\]\(([^)]+)\)", index):
        assert link in files or link == "records", link
    assert "--explain sir shape_error_mm" in index
    results = folder / "written"
    write_tables(folder / "configs/table", folder / "runs", results)
    check_tables(folder / "configs/table", folder / "runs", results)
    (results / "README.md").write_text("something else")
    with pytest.raises(RecfaceError, match=r"README\.md"):
        check_tables(folder / "configs/table", folder / "runs", results)


def test_findings_follow_the_marks(files, folder):
    """Every column of a row is in the sentence, in the part that its mark says."""
    table = build(read_spec(folder / "configs/table/first.yaml"), find_records(folder / "runs", "none"))
    block, page = table.blocks[0], files["first.md"]
    sentence = re.search(r"^- SIR against baseline: (.*)\.$", page, re.MULTILINE)[1]
    parts = dict(part.split(" in ", 1) for part in sentence.split("; "))
    said = {title: words for words, titles in parts.items() for title in titles.split(", ")}
    marks = {"▲": "better", "▼": "worse", "≠": "different", "": "no difference shown"}
    expected = {
        (column.title or column.metric).removesuffix(" (mm)"): marks[cells.verdict(block, "sir", "baseline", column)]
        for column in block.columns
    }
    assert said == expected and {"better", "different"} <= set(said.values())
    assert re.search(r"^- mean_face against baseline: not tested in shape error", page, re.MULTILINE)  # one seed


def test_two_tables_of_one_name_are_an_error(tmp_path, folder):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(SPEC | {"name": "same"}))
    with pytest.raises(RecfaceError, match=r"b\.yaml: another table is named same"):
        render(tmp_path, folder / "runs", folder / "results")


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "table").glob("*.yaml")), ids=lambda path: path.stem)
def test_units_and_directions_of_the_tables_are_the_protocols(path):
    for column in read_spec(path).columns:
        for known in (PROTOCOLS.get(column.metric), PHOTO_PROTOCOLS.get(column.metric)):
            if known is None:
                continue
            assert (column.direction or "neutral") == known.direction, column.metric
            unit = re.search(r"\(([^()]+)\)$", column.title)
            assert (unit[1] if unit else "") == known.unit, column.metric
