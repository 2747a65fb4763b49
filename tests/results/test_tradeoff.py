"""Rows as curves over blocks: which runs are points, what is read off them, and the figure."""

import numpy as np
import pytest
import yaml

from recface.results.drawing import cell_panels, pictures
from recface.results.explain import explain
from recface.results.markdown import to_markdown
from recface.results.records import find_records
from recface.results.selection import select_runs
from recface.results.spec import read_spec
from recface.results.table import build, row_curve
from recface.tracking import RunFolder, RunRecord, run_path

WEIGHTS = [0.1, 1.0, 10.0]
POINTS = {  # AUC and error by weight; `other` is worse than `sir` at an equal AUC, and `far` never reaches its AUC
    "sir": [(0.70, 2.0), (0.80, 2.1), (0.90, 2.4)],
    "other": [(0.74, 2.2), (0.84, 2.4), (0.82, 2.8)],
    "far": [(0.50, 1.9), (0.55, 1.95), (0.60, 1.8)],
}
SPEC = {
    "name": "t",
    "title": "T",
    "blocks": [
        {"name": f"w{w}", "metrics": "benchmark", "select": {"loss.weight": [w, None]}, "curve": "c", "point": str(w)}
        for w in WEIGHTS
    ],
    "rows": [
        {"experiment": "base"},
        {"experiment": "sir", "parent": "base"},
        {"experiment": "other", "parent": "sir"},
        {"experiment": "far", "parent": "sir"},
        {"experiment": "nobody"},
    ],
    "columns": [
        {"metric": "error", "direction": "lower"},
        {"metric": "auc", "direction": "higher"},
        {"metric": "at_auc", "direction": "lower", "equal": {"value": "error", "metric": "auc", "row": "sir"}},
        {"metric": "at_error", "direction": "higher", "equal": {"value": "auc", "metric": "error", "row": "sir"}},
    ],
    "figure": {"x": "auc", "y": "error"},
}


def write(runs, experiment, seed, weight, auc, error):
    folder = RunFolder.open(run_path(runs, experiment, f"hash{weight}", seed))
    loss = {} if weight is None else {"weight": weight}
    folder.start(RunRecord(experiment, f"hash{weight}", seed, config={"loss": loss}))
    folder.finish({"benchmark": {"auc": auc, "error": error}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two seeds of every weight, a third of one weight alone, and a row without the weight."""
    folder = tmp_path_factory.mktemp("tradeoff")
    for experiment, points in POINTS.items():
        for weight, (auc, error) in zip(WEIGHTS, points, strict=True):
            for seed in range(2):
                write(folder / "runs", experiment, seed, weight, auc, error + 0.02 * seed)
    write(folder / "runs", "other", 7, 1.0, 0.99, 0.1)
    for seed in range(3):
        write(folder / "runs", "base", seed, None, 0.65, 2.3)
    (folder / "configs").mkdir()
    (folder / "configs" / "t.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return build(read_spec(folder / "configs" / "t.yaml"), find_records(folder / "runs", "none"))


def test_any_value_of_a_list_selects_and_null_is_an_absent_key(folder):
    blocks = select_runs(read_spec(folder / "configs" / "t.yaml"), find_records(folder / "runs", "none"))
    for (_, runs), weight in zip(blocks, WEIGHTS, strict=True):
        found = {name: {e.record.hash for e in entries.values()} for name, entries in runs.finished.items()}
        own = {f"hash{weight}"}
        assert found == {"base": {"hashNone"}, "sir": own, "other": own, "far": own, "nobody": set()}


def test_a_curve_has_the_seeds_of_all_its_points_and_each_configuration_once(table):
    names, curves = row_curve(table.blocks, "c", "other", ("auc", "error"))
    assert names == ["0.1", "1.0", "10.0"] and sorted(curves) == [0, 1]
    assert curves[1] == pytest.approx(np.array(POINTS["other"]).T + [[0], [0.02]])
    names, curves = row_curve(table.blocks, "c", "base", ("auc", "error"))
    assert len(names) == 1 and sorted(curves) == [0, 1, 2] and curves[2].tolist() == [[0.65], [2.3]]
    assert row_curve(table.blocks, "c", "nobody", ("auc", "error")) == ([], {})


def test_values_at_equal_auc_and_error_are_interpolated(table):
    """By np.interp along the rising part of each curve."""
    auc, error = np.array(POINTS["other"][:2]).T
    middle = table.blocks[1]  # sir: AUC 0.8, error 2.1 and 2.12
    found = middle.cells["other", "at_auc"]
    expected = float(np.interp(0.80, auc, error))
    assert found.per_seed == pytest.approx({0: expected, 1: expected + 0.02})
    assert middle.cells["sir", "at_auc"].per_seed == pytest.approx({0: 2.1, 1: 2.12})
    assert middle.differences["other", "at_auc"].value == pytest.approx(expected - 2.1)
    last = table.blocks[2]  # sir: AUC 0.9, error 2.4
    assert last.cells["other", "at_error"].mean == pytest.approx(0.84) and last.cells["sir", "at_error"].mean == 0.9
    assert last.cells["base", "at_error"].per_seed == pytest.approx({0: 0.65, 1: 0.65})


def test_curves_that_do_not_reach_leave_holes(table):
    for block in table.blocks:
        assert not {("far", "at_auc"), ("base", "at_auc"), ("nobody", "at_auc")} & set(block.cells)
    assert ("other", "at_error") not in table.blocks[0].cells and ("other", "at_auc") not in table.blocks[2].cells
    line = next(line for line in to_markdown(table).splitlines() if line.startswith("| far "))
    assert line.split("|")[5].strip() == "–"


def test_a_cell_is_explained_by_its_curve(folder):
    text = explain(folder / "configs", folder / "runs", folder / "none", "other", "at_auc", block="w1.0")
    assert "value       2.330 ± 0.010" in text and "by seed     0: +0.2200, 1: +0.2200" in text
    assert "seed 0      2.3200" in text and "seed 7      –" in text


def test_the_figure_has_a_line_a_row_and_a_point_for_the_baseline(table):
    ((panel,),) = cell_panels(table)
    assert panel.title == "c, seeds 0, 1" and (panel.x_label, panel.y_label) == ("auc", "error")
    lines = {series.label: series for series in panel.series}
    assert list(lines) == [table.spec.titles()[name] for name in ("base", "sir", "other", "far")]
    base, sir = list(lines.values())[:2]
    assert sir.x.tolist() == [0.7, 0.8, 0.9] and sir.y.mean(0) == pytest.approx([2.01, 2.11, 2.41])
    assert list(sir.names) == ["0.1", "1.0", "10.0"] and not base.names
    assert base.x.tolist() == [0.65] and base.y.shape == (2, 1)
    assert list(pictures(table)) == ["t"] and pictures(table)["t"]()["png"].startswith(b"\x89PNG")
