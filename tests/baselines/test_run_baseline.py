"""From a baseline's name to a record that tables take."""

import json

import numpy as np
import pytest

from recface.baselines.configuration import baseline_config, baseline_hash, known_baselines
from recface.baselines.run_baseline import run_baseline
from recface.errors import RecfaceError
from recface.metrics import PROTOCOLS
from recface.results.records import find_records
from recface.tracking import archive, read_record


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache_dir, benchmark):
    """Records of the baselines, at scale=smoke; the fit takes a few steps."""
    runs = tmp_path_factory.mktemp("baselines")
    done = {}
    for name in known_baselines():
        few = ["baselines.landmark_steps=6", "baselines.pixel_steps=2"] if name.startswith("fit") else []
        config = baseline_config(name, ["scale=smoke", f"paths.runs={runs}", f"paths.cache={cache_dir}", *few])
        done[name] = run_baseline(config, few)
    return done


def test_records_have_the_form_of_a_run_s(finished, benchmark):
    for name, folder in finished.items():
        record = json.loads(folder.record_path.read_text())
        assert record["state"] == "finished" and record["experiment"] == name
        assert record["data_manifest"] == benchmark.manifest_hash and record["timings"]["image_cpu_seconds"] > 0
        metrics = record["metrics"]["benchmark"]
        assert {"shape_error_mm", "nme", "geometry_auc", "param_auc", "control_shape_auc"} <= set(metrics)
        assert all(np.isfinite(value) for value in metrics.values())
        assert record["protocols"]["benchmark"] == {key: PROTOCOLS[key].id for key in metrics}


def test_the_mean_face_recognizes_nobody_and_has_no_clusters(finished):
    metrics = finished["mean_face"].record.metrics["benchmark"]
    assert metrics["shape_error_mm"] == metrics["mean_face_error_mm"]
    assert metrics["geometry_auc"] == metrics["param_auc"] == 0.5  # every pair is a tie
    assert not any(key.startswith(("nmcd", "silhouette", "calinski", "davies")) for key in metrics)


def test_landmarks_tell_more_than_the_mean_face_and_noise_takes_some_of_it(finished):
    error = {name: folder.record.metrics["benchmark"]["shape_error_mm"] for name, folder in finished.items()}
    assert error["eos"] < error["eos_noisy"] < error["mean_face"]


def test_archived_records_keep_the_conditions(finished, tmp_path):
    for folder in finished.values():
        archive(folder.path, tmp_path)
    entries = find_records(tmp_path / "none", tmp_path)
    assert sorted(entry.record.experiment for entry in entries) == known_baselines()
    for entry in entries:
        arrays = entry.arrays()
        assert arrays["condition_plain"].dtype == bool and len(arrays["condition_plain"]) == len(
            arrays["test_identity"]
        )


def test_what_is_finished_is_not_done_again(finished, monkeypatch):
    monkeypatch.setattr("recface.baselines.run_baseline.open_workbench", lambda config: pytest.fail("predicted again"))
    folder = finished["eos"]
    assert "paths" not in folder.record.config  # records name no places
    paths = {"runs": str(folder.path.parents[2]), "cache": "nowhere"}
    assert run_baseline(folder.record.config | {"paths": paths}).record.updated == folder.record.updated


def test_the_hash_is_of_method_face_model_and_benchmark():
    base = baseline_hash(baseline_config("eos"))
    same = ["seed=3", "paths.runs=elsewhere", "data.photos=somewhere", "trainer.threads=2", "scale.batch_size=7"]
    assert all(baseline_hash(baseline_config("eos", [override])) == base for override in same)
    other = ["baselines.identity_weight=1", "scale=smoke", "data.seed=1", "scale.test_people=20"]
    hashes = {baseline_hash(baseline_config("eos", [override])) for override in other} | {
        base,
        baseline_hash(baseline_config("fit")),
    }
    assert len(hashes) == len(other) + 2


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("nothing", [], "no baseline 'nothing': known are eos"),
        ("eos", ["loss.pixel=2"], "loss.pixel=2: no baseline reads this key"),
        ("eos", ["baselines.noise=-1"], "baselines.noise must be a number >= 0, not -1"),
        ("eos", ["seed=abc"], "seed must be a whole number from 0 to 4294967295, not 'abc'"),
        ("eos", ["+experiment=sir"], "no baseline reads this key"),
    ],
)
def test_mistakes_are_named(name, overrides, says):
    with pytest.raises(RecfaceError, match=says):
        baseline_config(name, overrides)


def test_noise_of_another_seed_is_other_noise(finished, cache_dir, benchmark, tmp_path):
    config = baseline_config(
        "eos_noisy", ["scale=smoke", "seed=1", f"paths.runs={tmp_path}", f"paths.cache={cache_dir}"]
    )
    first, other = finished["eos_noisy"].record, run_baseline(config).record
    assert other.hash == first.hash and other.seed == 1
    assert other.metrics["benchmark"]["nme"] != first.metrics["benchmark"]["nme"]


def test_records_under_the_former_name_are_read_by_todays(tmp_path, finished):
    content = json.loads(finished["eos"].record_path.read_text())
    content["config"]["peer"] = content["config"].pop("baselines")
    content["versions"]["peer"] = content["versions"].pop("baselines")
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert read_record(tmp_path) == finished["eos"].record
