from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.figures import consistency_strips
from recface.results.drawing import CURVES, SMOOTHED, block_curves, curve_panels, pictures
from recface.results.records import find_records
from recface.results.spec import Figure, read_spec
from recface.results.table import build


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
    return SimpleNamespace(runs=runs, block=SimpleNamespace(name=name, curve="", metrics="conflict"))


def table(*blocks, kind="conflict", **titles):
    spec = SimpleNamespace(name="t", titles=lambda: titles or {"sfm": "SFM"}, figure=Figure(curves=kind))
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
    (row,) = curve_panels(table(first, same_runs, kind="training", **titles))
    assert {panel.title for panel in row} == {"embedded; not stored: Old"}
    drawn = {panel.y_label.split()[0]: [series.label for series in panel.series] for panel in row}
    assert drawn == {"landmark": ["Baseline", "SIR"], "pixel": ["Baseline", "SIR"], "recognition": ["SIR"]}
    sir = row[-1].series[0]
    assert sir.color == 1 and sir.y == pytest.approx(np.array([[1.0], [3.0]]) + 0.1 * sir.x)


def test_a_figure_is_drawn_where_there_is_something_to_draw(tmp_path):
    assert pictures(table(block(sfm=[Stored(0, 0)]))) == {}
    found = pictures(table(block(sfm=[Stored(9, 0), Stored(9, 1)])))
    assert list(found) == ["t_curves"]
    (tmp_path / "curves.png").write_bytes(found["t_curves"]()["png"])
    with Image.open(tmp_path / "curves.png") as image:
        width, height = image.size
        assert width > 2 * height > 0 and image.text["Description"] == "Provenance: none"


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """The project's ablation table of two rows, whose runs stored what pictures of predictions take."""
    folder = tmp_path_factory.mktemp("predicted")
    extra = {"identity_sigma": np.ones(synthetic.MODES), "basis_gram": np.eye(synthetic.MODES)}
    for experiment, noise in (("baseline", 0.9), ("sir", 0.4)):
        synthetic.make_run(folder / "runs", experiment, 0, noise, change=lambda arrays: arrays.update(extra))
    return build(read_spec(ROOT / "configs" / "table" / "ablation.yaml"), find_records(folder / "runs", "none"))


def test_pictures_of_predictions_are_drawn_from_records_alone(predicted):
    found = pictures(predicted)
    assert list(found) == ["ablation", *(f"ablation_{kind}" for kind in ("roc", "errors", "maps", "strips"))]
    assert found["ablation_roc"]()["pdf"].startswith(b"%PDF") and found["ablation_errors"]()["png"].startswith(b"\x89P")


def test_strips_take_the_photos_of_the_cache_or_say_where_they_are_not(predicted, face_model, tmp_path, monkeypatch):
    monkeypatch.setenv("RECFACE_CACHE", str(tmp_path))
    draw = pictures(predicted)["ablation_strips"]
    with pytest.raises(RecfaceError, match="benchmark: no benchmark .* here; a run makes it, and RECFACE_CACHE says"):
        draw()
    photos = np.zeros((100, 3, 8, 8), np.uint8)
    labels = {"identity": np.repeat(np.arange(20), 5), "identity_parameters": np.zeros((100, synthetic.MODES))}
    monkeypatch.setattr(consistency_strips, "cached_photos", lambda manifest, split: (photos, labels))
    monkeypatch.setattr("recface.face_model.get", lambda name, path: face_model)
    shown = []
    monkeypatch.setattr(consistency_strips, "draw_strips", lambda *arguments: shown.append(arguments) or {})
    assert draw() == {}
    (_, first, _, methods, _), titles = shown[0], predicted.spec.titles()
    assert first.shape == (5, 3, 8, 8) and list(methods) == [titles["baseline"], titles["sir"]]
    entry = predicted.blocks[0].runs.finished["sir"][0]
    assert np.array_equal(methods[titles["sir"]], entry.arrays("test_parameters")["test_parameters"][:5])
