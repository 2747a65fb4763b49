import numpy as np

from recface.report.curves import curves_of, run_curves
from recface.results.records import Entry
from recface.tracking import RunRecord


def entry(path, predictions=None):
    return Entry(RunRecord("sir", "h", 0), path, predictions)


def test_the_log_gives_the_last_stage_and_the_last_line_of_a_step(tmp_path):
    lines = [
        '{"stage": 1, "step": 10, "loss/pixel": 9}',
        '{"stage": 2, "step": 20, "loss/pixel": 5, "rate": 1}',
        '{"stage": 2, "step": 10, "loss/pixel": 4}',
        '{"stage": 2, "step": 20, "loss/pixel": 3, "validation/nme": 0.123456}',
        '{"stage": 2, "step": true, "loss/pixel": 1}',
        '{"stage": 2, "step": 30, "loss/pixel": NaN, "note": "text"}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    found = run_curves(entry(tmp_path / "run.json"))
    assert found == {"loss/pixel": {"x": [10, 20], "y": [4, 3]}, "validation/nme": {"x": [20], "y": [0.1235]}}


def test_an_archived_record_gives_its_arrays_thinned_evenly(tmp_path):
    steps = np.arange(1, 101)
    np.savez(
        tmp_path / "p.npz", training_step=steps, training_pixel=steps / 4, conflict_step=[1], conflict_cosine=[0.5]
    )
    found = run_curves(entry(tmp_path / "sir-h-seed0.json", tmp_path / "p.npz"), points=4)
    assert found["conflict/cosine"] == {"x": [1], "y": [0.5]}
    assert found["loss/pixel"] == {"x": [1, 34, 67, 100], "y": [0.25, 8.5, 16.75, 25]}


def test_many_runs_are_drawn_coarser_and_those_without_curves_left_out(tmp_path):
    steps = np.arange(100)
    np.savez(tmp_path / "p.npz", training_step=steps, training_pixel=steps)
    runs = [entry(tmp_path / "a.json", tmp_path / "p.npz"), entry(tmp_path / "b.json")] * 250
    found = curves_of(runs, [str(i) for i in range(500)])
    assert len(found) == 250 and found[1]["name"] == "2"
    assert len(found[0]["curves"]["loss/pixel"]["x"]) == 40
