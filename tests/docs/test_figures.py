"""The numbers in prose are those of results/*.csv, and the tool that writes them there does as it says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from tests.conftest import ROOT

from recface.results.records import find_records
from recface.results.selection import select_runs
from recface.results.spec import read_spec

spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
figures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(figures)


@pytest.fixture
def committed_results():
    """Skip after `make results` on another machine, whose tables are its own; prose has those of the commit."""
    command = ["git", "status", "--porcelain", "--", "results"]
    changed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if changed.returncode == 0 and ".csv" in changed.stdout:
        pytest.skip("results/ holds tables of your own; the numbers in prose are those of the committed ones")


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("committed_results")
def test_numbers_in_prose_are_those_of_the_tables(page):
    text = page.read_text()
    assert figures.refreshed(text, page.name) == text, "run: python docs/figures.py"


@pytest.mark.usefixtures("committed_results")
def test_a_table_shows_every_committed_record():
    entries = find_records(ROOT / "none", ROOT / "results" / "records")
    tables = [select_runs(read_spec(path), entries) for path in (ROOT / "configs" / "table").glob("*.yaml")]
    shown = {entry.path.name for table in tables for _, runs in table for entry in runs.entries()}
    command = ["git", "ls-files", "results/records/*.json"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert {Path(name).name for name in listed} <= shown, "no table shows these runs: remove their records"


def test_every_decimal_of_the_findings_has_a_source():
    text = (ROOT / "docs" / "findings.md").read_text()
    for comment in figures.COMMENT.finditer(text):
        start = figures.covered(text, comment.start())
        text = text[:start] + " " * (comment.end() - start) + text[comment.end() :]
    assert figures.NUMBER.findall(re.sub(r"`[^`]*`", "", text)) == []


def test_readme_s_table_has_the_ablation_and_our_own_row():
    table = re.findall(r"^\| (\S.*?) \|(?: \d+\.\d+ \|){4}$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert table == ["baseline", "SIR", "SIR w/o prior", "SIR w/o center", "prototypes (ours)"]


@pytest.fixture
def tables(monkeypatch):
    """Tables of round numbers in place of results/."""
    monkeypatch.setattr(figures, "values", lambda table: {("embedded", "sir", "auc"): 0.7777, ("x", "sir", "auc"): 2.0})
    bounds = {"difference": -0.5, "low": -1.0, "high": 0.25, "p_holm": 0.5}
    parts = {part: bounds[column] for part, column in figures.PARTS.items()}
    monkeypatch.setattr(figures, "differences", lambda table: {("embedded", "sir", "auc"): parts})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AUC 0.1\n<!-- figures: sir.auc -->", "AUC 0.8"),
        ("AUC 0.123, once 9.9, then +1.0\n\n<!-- figures: sir.auc _ x/sir.auc -->", "AUC 0.778, once 9.9, then +2.0"),
        ("1.0 stays\n- falls by 0.10 (-2.0)\n  <!-- figures: -sir.auc.diff sir.auc.low -->", "falls by 0.50 (-1.0)"),
        ("level at 0.10\n<!-- figures: sir.auc ?sir.auc -->", "level at 0.78"),
    ],
)
def test_numbers_are_rewritten_as_they_are_shown(tables, text, expected):
    fresh = figures.refreshed(text)
    assert expected in fresh
    assert fresh.startswith("1.0 stays") == text.startswith("1.0 stays")
    assert figures.refreshed(fresh) == fresh


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rises by 0.10\n<!-- figures: sir.auc.diff -->", "turns the sense"),
        ("AUC 0.1 and 0.2\n<!-- figures: sir.auc -->", "2 numbers but 1 sources"),
        ("AUC 0.1\n<!-- figures: sir.nmcd -->", "no such number"),
        ("clearly 0.1\n<!-- figures: sir.auc !sir.auc -->", "the interval is -1 to 0.25"),
    ],
)
def test_contradictions_are_refused(tables, text, message):
    with pytest.raises(figures.FigureError, match=re.escape(message)):
        figures.refreshed(text)
