"""Runs that learned their face model are computed again in it, and not without it."""

import json
import shutil

import numpy as np
import pytest

from recface.cli.program import main
from recface.errors import RecfaceError
from recface.face_model import load, save
from recface.face_model.npz import LEARNED_FILE
from recface.metrics.protocols import BENCHMARKS
from recface.results.evaluate import read_run, run_model
from recface.results.recompute import compare_runs
from recface.results.records import find_records
from recface.run.experiment import run_experiment
from recface.settings.compose import compose_config
from recface.tracking.archive import archive
from recface.tracking.record import new_record, read_record

QUICK = ("scale=smoke", "sfm.scan.people=60", "sfm.scan.scans_each=2", "sfm.scan.steps=5")


@pytest.fixture(scope="module")
def learned(tmp_path_factory, cache_dir, benchmark):
    """The folder of runs with one finished smoke run of SFM, and its own."""
    root = tmp_path_factory.mktemp("learned")
    config = compose_config("+experiment=sfm", *QUICK, f"paths.runs={root}/runs", f"paths.cache={cache_dir}")
    return root, run_experiment(config).path


@pytest.fixture
def copied(learned, tmp_path):
    """A copy of the run that a test may change, below tmp_path / runs."""
    root, folder = learned
    target = tmp_path / "runs" / folder.relative_to(root / "runs")
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("checkpoints"))
    return target


def computed(root, capsys) -> tuple[int, dict, str]:
    """Exit code, JSON and output of `recface evaluate --all`."""
    arguments = ["--all", "--runs", str(root / "runs"), "--records", str(root / "records")]
    code = main(["evaluate", *arguments, "--json", str(root / "all.json")])
    captured = capsys.readouterr()
    return code, json.loads((root / "all.json").read_text()), captured.out + captured.err


def test_the_runs_own_model_gives_the_recorded_metrics(copied, tmp_path, capsys, monkeypatch) -> None:
    from recface.results import recompute

    regions, read = [], recompute.read_region
    monkeypatch.setattr(recompute, "read_region", lambda *key: regions.append(key) or read(*key))
    code, content, said = computed(tmp_path, capsys)
    assert code == 0 and "all metrics agree" in said, said
    assert regions == [("npz", str(copied / LEARNED_FILE))]
    (values,) = content["values"].values()
    recorded = read_record(copied).metrics["benchmark"]
    for metric in (
        "geometry_auc",
        "param_auc",
        "nme",
        "control_shape_auc",
        "control_albedo_auc",
        "silhouette_geometry",
    ):
        assert values["benchmark"][metric] == pytest.approx(recorded[metric], abs=1e-4), metric
    assert len(values["benchmark"]) > 20 and not any(row["off"] for row in content["comparisons"])


def test_what_needs_the_true_shapes_is_not_computed_from_their_likeness(copied, tmp_path, capsys) -> None:
    """The truth beside the predictions is what the learned model makes of it: measuring against that would flatter."""
    _, content, said = computed(tmp_path, capsys)
    (values,) = content["values"].values()
    assert "shape_error_mm" in read_record(copied).metrics["benchmark"]
    assert "shape_error_mm" not in values["benchmark"]
    assert "not compared: 1 x shape_error_mm: its inputs are not stored" in said


def test_another_basis_is_found_out(copied, tmp_path, capsys, face_model) -> None:
    """That the numbers agree is the model's doing: with the face model of the configuration they do not."""
    save(face_model, copied / LEARNED_FILE)
    code, content, said = computed(tmp_path, capsys)
    assert code == 1 and "differ from their records beyond rounding" in said
    assert "geometry_auc" in {row["metric"] for row in content["comparisons"] if row["off"]}


def test_a_copy_without_the_model_is_left_out_with_the_reason(learned, tmp_path, capsys, monkeypatch) -> None:
    archive(learned[1], tmp_path / "records")
    monkeypatch.setattr("recface.results.recompute.read_region", lambda *key: pytest.fail("read another model"))
    code, content, said = computed(tmp_path, capsys)
    assert code == 1 and "no run could be recomputed" in said
    assert content["values"] == {} and content["comparisons"] == []
    assert (
        f"not compared: 1 x runs whose face model cannot be had: the run's own face model is not there ({LEARNED_FILE}"
        in said
    )


def test_a_run_whose_model_was_deleted_is_left_out_too(copied, tmp_path) -> None:
    (copied / LEARNED_FILE).unlink()
    result = compare_runs(find_records(tmp_path / "runs", tmp_path / "none"))
    assert not result.values and list(result.skipped.values()) == [1]
    assert LEARNED_FILE in next(iter(result.skipped))


def test_the_run_is_measured_as_any_method_in_its_own_region(copied, tmp_path) -> None:
    path = tmp_path / "out.json"
    assert (
        main(["evaluate", "--predictions", str(copied), "--protocol", "clustering-geometry/v1", "--json", str(path)])
        == 0
    )
    values, recorded = json.loads(path.read_text())["values"], read_record(copied).metrics["benchmark"]
    assert values == pytest.approx({key: recorded[f"{key}_geometry"] for key in values}, rel=1e-4)
    assert (
        main(["evaluate", "--predictions", str(copied), "--protocol", "benchmark-shapes/v1", "--json", str(path)]) == 0
    )
    values = json.loads(path.read_text())["values"]
    assert values == pytest.approx({key: recorded[key] for key in values}, rel=1e-4, abs=1e-4)
    assert "geometry_auc" in values and "shape_error_mm" not in values
    predictions, truth, region = read_run(copied, BENCHMARKS["clustering-geometry/v1"], None)
    own = load(copied / LEARNED_FILE)
    assert region.basis.shape == (int(own.face_mask.sum()), 3, own.num_identity)
    assert not [name for name in truth.table if name.startswith("true_")] and len(predictions) == len(truth)


def test_which_model_a_run_is_of(copied, tmp_path) -> None:
    record = read_record(copied)
    assert run_model(record, copied) == ("npz", str(copied / LEARNED_FILE))
    with pytest.raises(RecfaceError, match=LEARNED_FILE):
        run_model(record, tmp_path)
    plain = new_record("sir", "abc", 0, {"face_model": {"name": "ict", "path": "a.npz"}})
    assert run_model(plain, tmp_path) == ("ict", "a.npz")


def test_the_stored_model_is_the_learned_one(learned, face_model) -> None:
    model = load(learned[1] / LEARNED_FILE)
    assert model.checksum != face_model.checksum and model.num_vertices == face_model.num_vertices
    with np.load(learned[1] / "predictions.npz") as stored:
        np.testing.assert_allclose(stored["identity_sigma"], model.identity_sigma, rtol=1e-6)
