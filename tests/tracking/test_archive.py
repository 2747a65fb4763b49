import io
import json

import numpy as np
import pytest

from recface.errors import RecfaceError
from recface.tracking import RunFolder, RunRecord, archive, read_record, run_path
from recface.tracking.archive import CURVE_POINTS, reduce_predictions, training_curves, zip_arrays


def arrays(photos=60, modes=8):
    generator = np.random.default_rng(0)
    basis = generator.normal(size=(30, modes))
    return {
        "test_parameters": generator.normal(size=(photos, modes)).astype(np.float32),
        "test_identity": np.repeat(np.arange(photos // 10), 10) + 40_000,
        "test_true": generator.normal(size=(photos // 10, modes)).astype(np.float32),
        "test_people": np.arange(photos // 10),
        "control_shape_parameters": generator.normal(size=(photos, modes)).astype(np.float32),
        "photos_expression": np.array([True, False]),
        "influence_test": generator.normal(size=(2, photos // 10)).astype(np.float32),
        "influence_test_metrics": np.array(["benchmark/sir", "conditions/light/nme"]),
        "influence_test_people": np.arange(photos // 10),
        "basis_gram": (basis.T @ basis / 30).astype(np.float32),
        "identity_sigma": np.linspace(3, 1, modes).astype(np.float32),
    }


@pytest.fixture
def finished(tmp_path):
    folder = RunFolder.open(run_path(tmp_path / "runs", "sir", "0123abcd", 2))
    folder.start(RunRecord("sir", "0123abcd", 2))
    folder.finish({"benchmark": {"sir": 0.5}})
    np.savez(folder.path / "predictions.npz", **arrays())
    return folder


def test_archive_keeps_record_and_small_predictions(finished, tmp_path):
    target = archive(finished.path, tmp_path / "records")
    assert target.name == "sir-0123abcd-seed2.json"
    assert read_record(target) == finished.record
    with np.load(target.with_suffix(".npz")) as stored:
        assert stored["test_parameters"].dtype == np.float16
        assert stored["basis_gram"].dtype == np.float32
        assert stored["test_identity"].dtype == np.int32
        assert stored["test_people"].dtype == np.int16
        assert int(stored["modes_kept"]) == int(stored["modes_total"]) == 8
        np.testing.assert_allclose(stored["test_parameters"], arrays()["test_parameters"], rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(stored["test_identity"], arrays()["test_identity"])


def test_influences_stay_with_their_names_and_people():
    for limit in (10**6, 3300):
        small = reduce_predictions(arrays(), limit)
        assert small["influence_test"].dtype == np.float16 and small["influence_test_people"].dtype == np.int64
        np.testing.assert_allclose(small["influence_test"], arrays()["influence_test"], rtol=1e-3, atol=1e-6)
        for name in ("influence_test_metrics", "influence_test_people"):
            np.testing.assert_array_equal(small[name], arrays()[name])
    assert small["modes_kept"] < 8 and not [name for name in small if name.startswith("control_")]


def test_archiving_again_changes_no_byte(finished, tmp_path):
    target = archive(finished.path, tmp_path / "records")
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in target.parent.iterdir()}
    np.savez(finished.path / "predictions.npz", **dict(reversed(arrays().items())))
    archive(finished.path, tmp_path / "records")
    assert before == {path: (path.read_bytes(), path.stat().st_ino) for path in target.parent.iterdir()}


def test_only_finished_runs_are_archived(finished, tmp_path):
    finished.fail("why not")
    with pytest.raises(RecfaceError, match="is failed"):
        archive(finished.path, tmp_path / "records")


def log(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_losses_along_stage_2_are_archived(finished, tmp_path):
    rows = [{"stage": 1, "step": 50, "loss/pixel": 9.0}]
    rows += [{"stage": 2, "step": 50 * i, "rate": 0.1, "loss/pixel": 1 / i, "loss/separation": None} for i in (1, 2, 3)]
    rows += [{"stage": 2, "step": 150, "loss/pixel": 0.25, "loss/separation": 4.0}]  # of a run that resumed
    log(finished.path / "metrics.jsonl", rows)
    with np.load(archive(finished.path, tmp_path / "records").with_suffix(".npz")) as stored:
        found = {name: stored[name] for name in stored.files if name.startswith("training_")}
        assert set(stored.files) > set(found)
    assert set(found) == {"training_step", "training_pixel", "training_separation"}
    assert found["training_step"].tolist() == [50, 100, 150]
    np.testing.assert_allclose(found["training_pixel"], [1, 0.5, 0.25])
    np.testing.assert_array_equal(found["training_separation"], [np.nan, np.nan, 4])


def test_long_curves_are_thinned_evenly(tmp_path):
    log(tmp_path / "metrics.jsonl", [{"stage": 2, "step": i, "loss/total": 0.5 * i} for i in range(1, 1235)])
    found = training_curves(tmp_path / "metrics.jsonl")
    steps = found["training_step"]
    assert len(steps) == CURVE_POINTS and (steps[0], steps[-1]) == (1, 1234)
    assert set(np.diff(steps)) == {12, 13} and (found["training_total"] == 0.5 * steps).all()


def test_without_a_stage_2_there_are_no_curves(tmp_path):
    assert training_curves(tmp_path / "metrics.jsonl") == {}
    log(tmp_path / "metrics.jsonl", [{"step": 1, "loss/total": 1.0}, {"stage": 1, "step": 1, "loss/total": 1.0}])
    assert training_curves(tmp_path / "metrics.jsonl") == {}


@pytest.mark.parametrize("change", [{"step": "x"}, {"step": 10**30}, {"loss/pixel": {}}, {"loss/pixel": "many"}])
def test_a_damaged_log_is_named(tmp_path, change):
    log(tmp_path / "metrics.jsonl", [{"stage": 2, "step": 1, "loss/pixel": 1.0} | change])
    with pytest.raises(RecfaceError, match=r"metrics\.jsonl: not a readable log of losses \(.*\); remove it"):
        training_curves(tmp_path / "metrics.jsonl")


def test_control_sets_go_before_modes():
    whole = len(zip_arrays(reduce_predictions(arrays(), 10**6)))
    small = reduce_predictions(arrays(), whole - 1)
    assert not [name for name in small if name.startswith("control_")]
    assert small["modes_kept"] == 8


@pytest.mark.parametrize("limit", [3100, 3300, 3500])
def test_as_many_leading_modes_are_kept_as_fit(limit):
    small = reduce_predictions(arrays(), limit)
    kept = int(small["modes_kept"])
    assert 0 < kept < 8
    assert len(zip_arrays(small)) <= limit
    one_more = dict(small)
    for name in ("test_parameters", "test_true"):
        one_more[name] = arrays()[name][:, : kept + 1].astype(np.float16)
    one_more["identity_sigma"] = arrays()["identity_sigma"][: kept + 1]
    one_more["basis_gram"] = arrays()["basis_gram"][: kept + 1, : kept + 1]
    assert len(zip_arrays(one_more)) > limit
    np.testing.assert_array_equal(small["basis_gram"], arrays()["basis_gram"][:kept, :kept])


def test_reducing_twice_is_reducing_once():
    once = reduce_predictions(arrays(), 3300)
    twice = reduce_predictions(np.load(io.BytesIO(zip_arrays(once))), 100)
    assert once.keys() == twice.keys()
    for name in once:
        np.testing.assert_array_equal(once[name], twice[name])


def test_what_cannot_fit_is_said():
    with pytest.raises(RecfaceError, match="do not fit"):
        reduce_predictions(arrays(), 300)
    with pytest.raises(RecfaceError, match="test_parameters"):
        reduce_predictions({})


def test_predictions_that_cannot_be_read_are_named(finished, tmp_path):
    path = finished.path / "predictions.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(RecfaceError, match=r"predictions\.npz: not a readable npz .*; run it again"):
            archive(finished.path, tmp_path / "records")
    finally:
        path.write_bytes(whole)
