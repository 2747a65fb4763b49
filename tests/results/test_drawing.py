from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from recface.figures.plots import Panel, Series, draw_lines, draw_scatter
from recface.results.drawing import CURVES, SMOOTHED, block_curves, draw, panels
from recface.results.spec import Figure


class Stored:
    """An entry that stored curves of a number of looks, or none."""

    def __init__(self, looks, level, kind="conflict", without=""):
        self.looks, self.level, self.kind, self.without = looks, level, kind, without
        self.path = Path(f"{id(self)}")

    def arrays(self, beginning):
        assert beginning == f"{self.kind}_"
        if not self.looks:
            return {}
        steps = 5.0 * np.arange(self.looks)
        return {beginning + "step": steps} | {
            name: self.level + 0.1 * steps for name in CURVES[self.kind] if name != self.without
        }


def block(name="embedded", **finished):
    found = {experiment: dict(enumerate(entries)) for experiment, entries in finished.items()}
    runs = SimpleNamespace(finished=found, entries=lambda: [entry for one in finished.values() for entry in one])
    return SimpleNamespace(runs=runs, block=SimpleNamespace(name=name, curve=""))


def table(*blocks, kind="conflict", **titles):
    spec = SimpleNamespace(titles=lambda: titles or {"sfm": "SFM"}, figure=Figure(curves=kind))
    return SimpleNamespace(spec=spec, blocks=blocks, provenance="none")


def test_curves_are_moving_averages_by_seed_and_rows_without_any_are_left_out():
    found = block_curves(block(sfm=[Stored(20, 1.0), Stored(18, 3.0)], sir=[Stored(0, 0.0)]), "conflict")
    assert list(found) == ["sfm"]
    steps, values = found["sfm"]["steps"], found["sfm"]["conflict_cosine"]
    assert values.shape == (2, 18 - SMOOTHED + 1) and steps[0] == 5 * (SMOOTHED - 1) / 2
    assert values == pytest.approx(np.stack([1 + 0.1 * steps, 3 + 0.1 * steps]))  # lines stay lines


def test_short_curves_are_not_smoothed_away():
    assert block_curves(block(sir=[Stored(5, 1.0, "training")]), "training")["sir"]["steps"].tolist() == [
        0,
        5,
        10,
        15,
        20,
    ]


def test_the_baseline_has_no_separation_loss_and_rows_without_curves_are_named():
    titles = {"baseline": "Baseline", "sir": "SIR", "old": "Old"}
    first = block(
        baseline=[Stored(9, 2.0, "training", "training_separation")],
        sir=[Stored(9, 1.0, "training"), Stored(9, 3.0, "training")],
        old=[Stored(0, 0.0, "training")],
    )
    same_runs = SimpleNamespace(runs=first.runs, block=SimpleNamespace(name="photos", curve=""))
    (row,) = panels(table(first, same_runs, kind="training", **titles))
    assert {panel.title for panel in row} == {"embedded; not stored: Old"}
    drawn = {panel.y_label.split()[0]: [series.label for series in panel.series] for panel in row}
    assert drawn == {"landmark": ["Baseline", "SIR"], "pixel": ["Baseline", "SIR"], "recognition": ["SIR"]}
    sir = row[-1].series[0]
    assert sir.color == 1 and sir.y == pytest.approx(np.array([[1.0], [3.0]]) + 0.1 * sir.x)
    assert draw(table(first, kind="training", **titles)).startswith(b"\x89PNG")


def test_a_figure_is_drawn_where_there_is_something_to_draw(tmp_path):
    assert panels(table(block(sfm=[Stored(0, 0)]))) == [] and draw(table(block(sfm=[Stored(0, 0)]))) is None
    picture = draw(table(block(sfm=[Stored(9, 0), Stored(9, 1)])))
    (tmp_path / "curves.png").write_bytes(picture)
    with Image.open(tmp_path / "curves.png") as image:
        width, height = image.size
        assert width > 2 * height > 0 and image.text["Description"] == "Provenance: none"


def test_pictures_are_the_same_bytes_for_the_same_data():
    series = [Series("a", 0, np.array([1.0, 2.0]), np.array([3.0, 1.0]), (1.5, 2.0), (0.1, None))]
    scatter = [Panel("left", "x", "y", series, ("mean face", 4.0)), Panel("right", "x", "y", series)]
    assert draw_scatter(scatter, "text") == draw_scatter(scatter, "text") != draw_scatter(scatter[:1], "text")
    line = [Series("a", 1, np.array([1, 2]), np.array([[1.0, 10.0], [2.0, 20.0]]))]
    rows = [[Panel("left", "x", "y", line, markers=True, log=True)]]
    assert draw_lines(rows).startswith(b"\x89PNG")
