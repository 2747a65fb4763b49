import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import pytest
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.report.comparison import Comparison
from recface.report.page import compared_in_tables, report_of_runs, watch
from recface.results.markdown import findings
from recface.results.records import find_runs
from recface.tracking import RunFolder, RunRecord

CONFIGS = ROOT / "configs" / "table"


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_sentences_have_the_intervals_of_what_is_marked(reported):
    (table,), _ = reported
    block = table.blocks[0]
    plain, told = (findings(table, block, intervals)[0] for intervals in (False, True))
    marked = [d for (row, _), d in block.differences.items() if row == "sir" and d.significant]
    assert marked and told.count("[") == len(marked) and "[" not in plain
    assert re.sub(r" \([+-][^()]*\)", "", told) == plain


def test_a_page_holds_every_cell_and_run_and_asks_no_network(page_file, reported):
    (table,), entries = reported
    page = page_file.read_text()
    data = data_of(page)
    cells = [f"ablation/{b.block.name}/{row}/{metric}" for b in table.blocks for row, metric in b.cells]
    assert sorted(data["cells"]) == sorted(cells) and len(data["runs"]) == len(entries) == 4
    assert all(f'data-cell="{cell}"' in page for cell in cells)
    assert data["runs"][2]["parent"] == "baseline seed 0 (h)" and "loss.noise: 1.2 → 0.6" in data["runs"][2]["changes"]
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?!data:)', page)
    assert page_file.stat().st_size < 15e6


def test_what_a_record_says_cannot_end_the_script_or_become_html(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    folder = RunFolder.open(tmp_path / "sir" / "h" / "seed=0")
    folder.start(RunRecord("sir", "h", 0))
    folder.fail(evil)
    page = report_of_runs(CONFIGS, [tmp_path]).decode()
    assert evil not in page and evil in data_of(page)["runs"][0]["lines"][0][1]


def test_runs_of_ones_own_fill_their_tables_alone(tmp_path):
    synthetic.make_run(tmp_path, "sir", 0, 0.6)
    page = report_of_runs(CONFIGS, [tmp_path / "sir"]).decode()
    assert 'data-cell="ablation/embedded/sir/nme"' in page and "no finished runs" not in page
    with pytest.raises(RecfaceError, match="no run here: give a run's folder"):
        find_runs([tmp_path / "none"])


def test_a_page_is_written_whenever_a_log_has_grown_until_the_run_ends(tmp_path):
    folder = RunFolder.open(tmp_path / "sir" / "h" / "seed=0")
    folder.start(RunRecord("sir", "h", 0))
    written, steps = [], iter(["nothing", "log", "end"])

    def sleep(_):
        step = next(steps)
        if step == "log":
            folder.log_metrics({"stage": 2, "step": 1, "loss/pixel": 1.0})
        if step == "end":
            folder.finish({"benchmark": {"nme": 1.0}})

    def write(reload):
        page = report_of_runs(CONFIGS, [tmp_path], reload).decode()
        written.append((reload, len(data_of(page)["curves"]), 'id="reload"' in page))

    watch(write, [tmp_path], sleep=sleep)
    assert written == [(True, 0, True), (True, 1, True), (False, 1, False)]


def test_faces_are_of_the_block_with_the_most_methods(reported, monkeypatch):
    (table,), _ = reported
    drawn = lambda title, methods: Comparison(title, notes=list(methods))  # noqa: E731
    monkeypatch.setattr("recface.report.page.rendered_comparison", drawn)
    titles = table.spec.titles()
    (found,) = compared_in_tables([table])
    assert (found.title, found.notes) == (table.blocks[0].block.title, [titles["baseline"], titles["sir"]])


def test_faces_with_pictures_come_first(reported, monkeypatch):
    (table,), _ = reported
    other = deepcopy(table)
    for seeds in other.blocks[0].runs.finished.values():
        for seed, entry in seeds.items():
            seeds[seed] = replace(entry, record=replace(entry.record, data_manifest="cached"))

    def drawn(title, methods):
        cached = find(next(iter(methods.values())).record.data_manifest)
        return Comparison(title, people=[None] if cached else [], notes=[str(cached)])

    find = {"cached": True}.get
    monkeypatch.setattr("recface.report.page.find_benchmark", find)
    monkeypatch.setattr("recface.report.page.rendered_comparison", drawn)
    assert [one.notes for one in compared_in_tables([table, other, table])] == [["True"], ["None"]]


def test_a_page_without_pictures_imports_no_torch(tmp_path):
    """Runs whose photos no cache has: their tables, their curves, and a line that says why there are no faces."""
    for face_model in ("makehuman", "ict"):
        synthetic.make_run(tmp_path / "runs", "sir", 0, 0.6, face_model=face_model, data_manifest="elsewhere")
    code = (
        "import sys; from recface.report import page; from recface.results.build import read_results;"
        f"found = read_results({str(CONFIGS)!r}, 'runs', 'none');"
        "print(page.report_of_results(found.tables, found.entries).decode());"
        "print([name for name in ('torch', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"RECFACE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    *page, imported = done.stdout.splitlines()
    assert imported == "[]"
    text = "\n".join(page)
    assert "photos are not in the cache of this machine" in text and "The photographs are not here" in text
