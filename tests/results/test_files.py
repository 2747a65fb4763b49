"""The files of results/: what they say, and that they are seen to be out of date."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.files.arrays import read_arrays
from recface.results import build as build_module
from recface.results import records
from recface.results.build import check_tables, render, write_tables
from recface.results.markdown import grid, p_value, to_markdown
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.table import build
from recface.results.writers import LONG_HEADER, escape
from recface.tracking import archive

ENTRY = ROOT / "src" / "tables.py"


@pytest.fixture(scope="module")
def files(made, table_configs):
    return {name: data for name, data in render(table_configs, *made).items() if "ablation." in name}


def rows(data):
    return list(csv.reader(data.decode().splitlines()))


def test_every_file_is_made(files):
    assert {f"ablation.{end}" for end in ("md", "csv", "tex", "long.csv")} <= set(files)
    assert files["figures/ablation.png"].startswith(b"\x89PNG") and files["figures/ablation.pdf"].startswith(b"%PDF")


def test_long_csv_holds_every_value(files):
    header, *lines = rows(files["ablation.long.csv"])
    assert header == LONG_HEADER
    found = {(e, b, m, int(s)): float(v) for e, b, _, m, s, v, _ in lines}
    assert len(found) == len(lines)
    expected = synthetic.metrics_of(synthetic.predictions(1, 0.6))
    for metric in ("shape_error_mm", "geometry_auc", "prior_kl"):
        assert found["sir", "embedded", metric, 1] == pytest.approx(expected[metric], rel=1e-7)
    assert ["sir", "photos", "geometry-auc/v1", "geometry_auc", "2", "0.92", "sir-ict"] in lines
    assert not [line for line in lines if line[3] == "mean_face_error_mm"]


def test_wide_csv_is_for_a_terminal(files):
    header, *lines = rows(files["ablation.csv"])
    assert header[:4] == ["block", "experiment", "seeds", "shape_error_mm"]
    assert [line[:2] for line in lines[:2]] == [["embedded", "baseline"], ["embedded", "sir"]]
    assert {len(line) for line in lines} == {len(header)}
    assert max(len(cell) for line in lines for cell in line) <= len("center_whitened")
    assert all(cell for line in lines for cell in line)  # `column` would close up empty ones
    photos = next(line for line in lines if line[:2] == ["photos", "baseline"])
    assert photos[header.index("shape_error_mm")] == "–"


def test_the_page_opens_with_the_table_and_what_it_shows(files):
    text = files["ablation.md"].decode()
    title, heading, table, findings, *_ = text.split("\n\n")
    assert title == "# Ablation of SIR" and heading.startswith("## Embedded benchmark") and table.startswith("| ")
    first = findings.splitlines()[0]
    expected = r"- SIR against baseline \(w/o SIR\): better in shape error, .*AUC geometry.*; no difference shown in "
    assert re.match(expected, first)
    assert text.index("## Statistics") < text.index("## What each row changes") < text.index("## How to read this page")
    assert re.search(r"\| SIR +\| +3 \| +\*\*2\.6\d\d ± 0\.\d{3}\*\* ▲", table)
    assert "*mean face, for reference*" in table


def test_statistics_stand_below(files):
    text = files["ablation.md"].decode().split("## Statistics")[1]
    compared = re.search(r"SIR − baseline \(w/o SIR\) +\| +AUC geometry ↑ \|([^|]*)\|([^|]*)\|([^|]*)\|", text)
    assert re.fullmatch(r" +\+\d\.\d{4} \[\+\d\.\d{4}, \+\d\.\d{4}\] ▲ ", compared[1])
    assert re.fullmatch(r" +[01]\.\d\d ", compared[2])
    assert 0 < float(compared[3].replace("<", "")) < 0.05
    assert "0 / 1 / 2" in text
    assert "- SIR w/o prior against SIR: `loss.kl`: 0.5 → 0" in text
    assert "geometry_auc `geometry-auc/v1`" in text
    assert "nothing is selected on the test people" in text
    assert len([line for line in text.splitlines() if line.startswith("Provenance:")]) == 1


def test_differences_csv_holds_what_the_page_rounds(files, made, table_configs):
    header, *lines = rows(files["ablation.differences.csv"])
    found = {tuple(line[header.index(key)] for key in ("experiment", "block", "metric")): line for line in lines}
    assert len(found) == len(lines)
    table = build(read_spec(table_configs / "ablation.yaml"), find_records(*made))
    difference = table.blocks[0].differences["sir", "geometry_auc"]
    line = dict(zip(header, found["sir", "embedded", "geometry_auc"], strict=True))
    assert [line[key] for key in ("parent", "method", "seeds", "family", "improvement_people")] == [
        *("baseline", "seeds and people", "3", "3", "20")
    ]
    for key, value in (
        ("difference", difference.value),
        ("high", difference.test.high),
        ("p_holm", difference.holm),
        ("improvement", difference.better),
    ):
        assert float(line[key]) == pytest.approx(value, rel=1e-5), key
    line = dict(zip(header, found["sir", "embedded", "geometry_acc"], strict=True))
    assert line["method"] == "seeds" and line["improvement_people"] == "0"


def test_the_page_names_the_marks_that_are_no_discoveries(files, made, table_configs):
    header, *lines = rows(files["ablation.differences.csv"])
    found = [dict(zip(header, line, strict=True)) for line in lines]
    tested = [line for line in found if line["p"]]
    marked = [line for line in tested if float(line["p_holm"]) < 0.05]
    lost = [line for line in marked if float(line["p_page"]) >= 0.05]
    said = re.search(
        r"Of the (\d+) marked differences, (\d+) hold at .* over the (\d+) differences", files["ablation.md"].decode()
    )
    assert tuple(map(int, said.groups())) == (len(marked), len(marked) - len(lost), len(tested))
    assert not lost
    table = build(read_spec(table_configs / "ablation.yaml"), find_records(*made))
    key, difference = next((key, item) for key, item in table.blocks[0].differences.items() if item.significant)
    table.blocks[0].differences[key] = replace(difference, page=0.06)
    experiment, metric = key
    column = next(column for column in table.spec.columns if column.metric == metric)
    expected = f"(Benjamini-Hochberg); not: {table.spec.titles()[experiment]} in {column.title} (`embedded`).\n"
    assert expected in to_markdown(table)


def test_every_file_that_can_says_where_it_is_from(files, made, table_configs):
    import io

    from PIL import Image

    provenance = next(line for line in files["ablation.md"].decode().splitlines() if line.startswith("Provenance: "))
    assert f"% {provenance}" in files["ablation.tex"].decode().splitlines()
    assert Image.open(io.BytesIO(files["figures/ablation.png"])).text["Description"] == provenance
    assert provenance in render(table_configs, *made, with_figures=False)["README.md"].decode().splitlines()


def test_tex_is_balanced(files):
    text = files["ablation.tex"].decode()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert "±" not in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    widths = [len(re.search(r"\{l(r+)\}", line)[1]) for line in text.splitlines() if "begin{tabular}" in line]
    assert {line.count("&") for line in body} == set(widths)


def test_tex_escapes():
    assert escape(r"a_b & 5% \x") == r"a\_b \& 5\% \textbackslash{}x"


def test_small_p_values_rank():
    assert [p_value(p) for p in (None, 0.25, 0.001, 9.94e-4, 3.21e-9)] == ["–", "0.250", "0.001", "0.00099", "3.2e-09"]


def test_grid_columns_line_up():
    lines = grid(["", "a"], [["row", "1.0"], ["r", "22.0 ± 1"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --- | -------: |"


def test_empty_tables_say_what_to_run(table_configs, tmp_path):
    write_tables(table_configs, tmp_path / "runs", tmp_path)
    text = (tmp_path / "ablation.md").read_text()
    assert "No finished runs: `recface sweep sweeps/converged.yaml`" in text
    assert "Provenance: no records" in text
    assert not (tmp_path / "figures").exists()
    index = (tmp_path / "README.md").read_text()
    assert "to fill it: `recface sweep sweeps/converged.yaml`" in index and "ablation.png" not in index


def test_check_sees_new_results_but_not_new_dates(made, table_configs, tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    shutil.copytree(made[0], runs)
    with pytest.raises(RecfaceError, match="older than the runs"):
        check_tables(table_configs, runs, results)
    write_tables(table_configs, runs, results)
    check_tables(table_configs, runs, results)
    folder = synthetic.RunFolder.open(next((runs / "sir").glob("*mak/seed=0")))
    folder.record.git["commit"] = "b" * 40
    folder.finish(folder.record.metrics)
    check_tables(table_configs, runs, results)
    folder.record.metrics["benchmark"]["geometry_acc"] += 0.01
    folder.finish(folder.record.metrics)
    with pytest.raises(RecfaceError, match=r"ablation\.md"):
        check_tables(table_configs, runs, results)


def test_command_line(made, table_configs, tmp_path):
    shutil.copytree(made[1] / "records", tmp_path / "results/records")

    def tables(*arguments):
        command = [sys.executable, str(ENTRY), "--configs", str(table_configs), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)

    stale = tables("--check")
    assert stale.returncode == 1
    assert stale.stderr.count("\n") == 1
    assert "ablation.md" in stale.stderr
    done = tables()
    assert done.returncode == 0, done.stderr
    assert "results/ablation.csv" in done.stdout
    assert tables("--check").returncode == 0
    (tmp_path / "results/records/broken.json").write_text("{")
    broken = tables("--no-figures")
    assert broken.returncode == 0
    assert broken.stderr.startswith("left out: results/records/broken.json: ") and broken.stderr.count("\n") == 1


def test_an_unchanged_run_is_not_archived_again(made, table_configs, tmp_path, monkeypatch):
    runs, results = tmp_path / "runs", tmp_path / "results"
    shutil.copytree(made[0], runs)
    write_tables(table_configs, runs, results)
    archived = []
    monkeypatch.setattr(
        build_module, "archive", lambda folder, records: archived.append(folder) or archive(folder, records)
    )
    before = {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}
    write_tables(table_configs, runs, results)
    assert not archived and before == {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}
    path = runs / "sir" / "sir-mak" / "seed=0" / "predictions.npz"
    np.savez(path, **synthetic.predictions(7, 0.61))  # such as influences of another version of the code
    write_tables(table_configs, runs, results)
    assert archived == [path.parent]
    assert {name: (results / name).read_bytes() for name in before} == render(table_configs, "none", results, False)


def test_each_file_is_read_once(made, table_configs, monkeypatch):
    opened = Counter()

    def watched(path, *names):
        opened.update([path] * (names == ("influence_",)))  # figures read small curves of their own
        return read_arrays(path, *names)

    monkeypatch.setattr(records, "read_arrays", watched)
    render(table_configs, "none", made[1])
    assert len(opened) == 24 and set(opened.values()) == {1}


def test_damaged_predictions_cost_their_own_row_alone(table_configs, tmp_path, capsys):
    for experiment in ("baseline", "sir"):
        path = synthetic.make_run(tmp_path / "runs", experiment, 0, 0.6) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:200])
    page = render(table_configs, tmp_path / "runs", tmp_path / "results", False)["ablation.md"].decode()
    said = r"^- sir seed 0 failed: .*predictions\.npz: not a readable npz \(.*\); run it again$"
    assert re.search(said, page, re.MULTILINE)
    assert re.search(r"^\| baseline .*0\.\d", page, re.MULTILINE)
    assert capsys.readouterr().err.count("\n") == 1
