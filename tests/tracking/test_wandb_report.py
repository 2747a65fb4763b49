import sys
from types import ModuleType, SimpleNamespace

import pytest

from recface.errors import RecfaceError
from recface.run.logger import X_AXIS
from recface.tracking.wandb_report import CURVES, MEDIA, write_report


class Block(SimpleNamespace):
    """Any block, panel or set of runs: what it was made with."""


class Report(Block):
    """A report that keeps what is saved, or is refused."""

    saved: list["Report"] = []
    refusal: Exception | None = None
    url = "https://example.org/report"

    def save(self):
        if self.refusal:
            raise self.refusal
        self.saved.append(self)


@pytest.fixture
def reports(monkeypatch):
    kinds = ("Runset", "LinePlot", "MediaBrowser", "TableOfContents", "H1", "MarkdownBlock", "PanelGrid")
    package, module = ModuleType("wandb_workspaces.reports"), ModuleType("wandb_workspaces.reports.v2")
    vars(module).update({kind: type(kind, (Block,), {}) for kind in kinds}, Report=Report)
    package.v2 = module
    Report.saved, Report.refusal = [], None
    for name, found in (("wandb_workspaces", ModuleType("wandb_workspaces")), ("wandb_workspaces.reports", package)):
        monkeypatch.setitem(sys.modules, name, found)
    return module


def test_tables_come_first_then_curves_pictures_and_meshes_of_the_runs(reports):
    assert write_report("me/faces", {"Ablation": "| a |", "Search": "| b |"}) == Report.url
    (report,) = Report.saved
    assert (report.entity, report.project) == ("me", "faces")
    kinds = [type(block).__name__ for block in report.blocks]
    assert kinds == ["TableOfContents", *["H1", "MarkdownBlock"] * 2, "H1", "PanelGrid"]
    assert [block.text for block in report.blocks[1:5]] == ["Ablation", "| a |", "Search", "| b |"]
    grid = report.blocks[-1]
    assert vars(grid.runsets[0]) == {"entity": "me", "project": "faces", "groupby": ["group"]}
    lines, media = grid.panels[: len(CURVES)], grid.panels[len(CURVES) :]
    assert [line.y for line in lines] == [[key] for key in CURVES] and {line.x for line in lines} == {X_AXIS}
    assert [browser.media_keys for browser in media] == [[key] for key in MEDIA]


@pytest.mark.parametrize("project", ["faces", "/faces", "me/", "me/faces/more", ""])
def test_a_project_of_another_form_is_refused(project, reports):
    with pytest.raises(RecfaceError, match="must be ENTITY/PROJECT, not"):
        write_report(project, {})
    assert not Report.saved


def test_a_refusal_and_a_missing_package_are_one_line(reports, monkeypatch):
    Report.refusal = ValueError("no\nsuch project")
    with pytest.raises(RecfaceError, match=r"^W&B: the report of me/faces could not be written: no such project$"):
        write_report("me/faces", {})
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports", None)
    with pytest.raises(RecfaceError, match="pip install wandb-workspaces$"):
        write_report("me/faces", {})
