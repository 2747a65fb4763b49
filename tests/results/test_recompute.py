"""Runs' metrics computed again from stored predictions: equal to what the run's own evaluation gave, or reported."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recface.cli.program import main
from recface.data.sources import Source
from recface.metrics import CONDITION_PROTOCOLS, PHOTO_PROTOCOLS, MeasuredShapes, protocol_ids, shape_errors
from recface.metrics.functional import control_auc
from recface.metrics.readers.region import read_region
from recface.results.recompute import compare_runs, recompute, rounding_bound
from recface.results.records import find_records
from recface.run.evaluation import evaluate_photos
from recface.tracking.archive import archive
from recface.tracking.record import new_record, write_record


@pytest.fixture(scope="module")
def geometry(face_model):
    from recface.metrics import masked_basis

    mask = face_model.face_mask
    basis = masked_basis(face_model.identity_basis, face_model.identity_sigma, mask)
    return SimpleNamespace(basis=basis, mean=face_model.mean[mask], sigma=face_model.identity_sigma)


@pytest.fixture
def finished(tmp_path, geometry, monkeypatch, cache_dir):
    """A finished run whose record holds what `evaluate_run` computes: 24 people, 5 photos each."""
    monkeypatch.setenv("RECFACE_CACHE", str(cache_dir))
    random = torch.Generator().manual_seed(0)
    modes = len(geometry.sigma)
    identity = torch.randperm(120, generator=random) % 24 * 3
    shapes = torch.randn(24, modes, generator=random)
    true = shapes[identity // 3]
    predicted = 0.7 * true + 0.5 * torch.randn(120, modes, generator=random)
    yaw, expression = torch.rand(120, generator=random), torch.rand(120, generator=random)
    nme = 2 + torch.rand(120, generator=random)
    group = torch.arange(120) % 4
    measured = MeasuredShapes(
        predicted,
        identity,
        geometry.sigma,
        geometry.basis,
        geometry.mean,
        true,
        yaw_abs=yaw,
        expression_norm=expression,
        nme=nme,
    ).checked()
    metrics = {key: float(value) for key, value in measured.metrics().items()}
    turned = {key: float(value) for key, value in measured.under({"light": yaw > 0.6}).items()}
    metrics["control_albedo_auc"] = float(control_auc(predicted, identity, group, geometry.basis, "albedo"))
    folder = tmp_path / "runs" / "sir" / "abc" / "seed=0"
    config = {"face_model": {"name": "makehuman", "path": None}}
    record = new_record("sir", "abc", 0, config, data_manifest="photos")
    record.state, record.metrics = "finished", {"benchmark": metrics, "conditions": turned}
    record.protocols = {
        "benchmark": protocol_ids(metrics),
        "conditions": {key: CONDITION_PROTOCOLS[key].id for key in turned},
    }
    write_record(folder / "run.json", record)
    np.savez(
        folder / "predictions.npz",
        test_parameters=predicted.numpy(),
        test_identity=identity.numpy(),
        test_people=np.arange(24) * 3,
        test_true=shapes.numpy(),
        test_nme=nme.numpy(),
        test_shape_error=shape_errors(predicted, true, geometry.basis, geometry.mean).numpy(),
        test_yaw_abs=yaw.numpy(),
        test_expression_norm=expression.numpy(),
        condition_light=(yaw > 0.6).numpy(),
        control_albedo_parameters=predicted.numpy(),
        control_albedo_identity=identity.numpy(),
        control_albedo_group=group.numpy(),
        basis_gram=np.eye(modes, dtype=np.float32),
        identity_sigma=geometry.sigma.numpy(),
    )
    return SimpleNamespace(folder=folder, root=tmp_path, metrics=metrics, turned=turned)


def test_every_metric_comes_out_again(finished) -> None:
    result = compare_runs(find_records(finished.root / "runs", finished.root / "records"))
    values = result.values["sir/abc/seed=0"]
    assert values["benchmark"] == pytest.approx(finished.metrics, rel=1e-6)
    assert values["conditions"] == pytest.approx(finished.turned, rel=1e-6)
    assert set(finished.turned) == {f"light/{key}" for key in ("shape_error_mm", "nme", "geometry_auc")}
    assert not result.skipped
    assert not any(item.off for item in result.comparisons.values())


def test_photographs_come_out_again_with_or_without_sex_and_ethnicity(face_model, monkeypatch, cache_dir) -> None:
    """Older runs stored neither; a table that lacks them leaves nothing of an earlier one beside its photos."""
    monkeypatch.setenv("RECFACE_CACHE", str(cache_dir))
    bench, region = SimpleNamespace(face_model=face_model), read_region("makehuman", None)
    shapes = torch.randn(20, len(face_model.identity_sigma), generator=torch.Generator().manual_seed(0))
    shapes = (shapes[:, None] + 0.7 * shapes.flip(1)[:, None] * torch.tensor([[1.0], [-1.0]])).flatten(0, 1)
    labels = {
        "expression": np.array(["neutral", "smiling"] * 20),
        "gender": np.repeat(["female", "male", "male", ""], 10),
        "ethnicity": np.repeat(["white", "black"], 20),
    }
    found = {}
    for name, kept in (("full", labels), ("bare", {"expression": labels["expression"]})):
        source = Source("photos", np.zeros((40, 3, 4, 4), np.uint8), np.repeat(np.arange(20), 2), extra=kept)
        values, stored = evaluate_photos(lambda source: {"identity": shapes}, bench, source)
        found[name] = stored | {"identity_sigma": face_model.identity_sigma.numpy()}
        assert recompute(found[name], region, "here")["photos"] == pytest.approx(values, rel=1e-6)
        assert set(values) == {key for key in PHOTO_PROTOCOLS if name == "full" or not key.startswith("matched_")}
        assert 0.5 < values["geometry_auc"] < 1
    assert set(found["bare"]) == set(found["full"])
    older = {key: array for key, array in found["full"].items() if key not in ("photos_gender", "photos_ethnicity")}
    assert recompute(older, region, "here") == recompute(found["bare"], region, "here")


def test_an_archived_copy_agrees_within_rounding(finished) -> None:
    archive(finished.folder, finished.root / "records")
    result = compare_runs(find_records(finished.root / "none", finished.root / "records"))
    assert len(result.comparisons) == len(finished.metrics) + len(finished.turned)
    assert not any(item.off for item in result.comparisons.values())
    assert any(item.largest > rounding_bound(item.metric, 0, "float32") for item in result.comparisons.values())


def test_a_record_that_says_otherwise_is_reported(finished, capsys) -> None:
    path = finished.folder / "run.json"
    content = json.loads(path.read_text())
    for metric, change in (("shape_error_mm", 1e-3), ("geometry_acc", 0.02)):
        content["metrics"]["benchmark"][metric] += change
    path.write_text(json.dumps(content))
    arguments = ["--all", "--runs", str(finished.root / "runs"), "--records", "none"]
    assert main(["evaluate", *arguments, "--json", str(finished.root / "all.json")]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "2 metrics differ" in captured.err and "shape_error_mm" in captured.err
    rows = json.loads((finished.root / "all.json").read_text())["comparisons"]
    assert {row["metric"] for row in rows if row["off"]} == {"shape_error_mm", "geometry_acc"}


def test_a_record_of_nothing_is_not_agreement(finished, capsys) -> None:
    """A value that was NaN (null in JSON) but is a number now is off."""
    path = finished.folder / "run.json"
    content = json.loads(path.read_text())
    content["metrics"]["benchmark"]["nmcd_param"] = None
    path.write_text(json.dumps(content))
    assert main(["evaluate", "--all", "--runs", str(finished.root / "runs"), "--records", "none"]) == 1
    assert "nmcd_param" in capsys.readouterr().err


def test_what_cannot_be_compared_is_said(finished, capsys) -> None:
    content = json.loads((finished.folder / "run.json").read_text())
    content["protocols"]["benchmark"]["sir"] = "sir-true-references/v0"
    (finished.folder / "run.json").write_text(json.dumps(content))
    for seed, state, model in ((1, "failed", "makehuman"), (2, "finished", "makehuman"), (3, "finished", "ict")):
        record = new_record("sir", "abc", seed, {"face_model": {"name": model, "path": "nowhere.npz"}})
        record.state = state
        write_record(finished.folder.with_name(f"seed={seed}") / "run.json", record)
    with np.load(finished.folder / "predictions.npz") as stored:
        kept = {name: stored[name] for name in stored.files if "control" not in name}
    np.savez(finished.folder.with_name("seed=3") / "predictions.npz", **kept)
    np.savez(finished.folder / "predictions.npz", **{name: kept[name] for name in kept if "expression" not in name})
    assert main(["evaluate", "--all", "--runs", str(finished.root / "runs"), "--records", "none"]) == 0
    said = capsys.readouterr().out
    for reason in (
        "1 x runs that are not finished (failed)",
        "1 x runs without predictions",
        "1 x runs whose face model cannot be had: ",
        "1 x sir_decoded: its inputs are not stored",
        "1 x control_albedo_auc: its inputs are",
        "1 x sir: recorded under sir-true-references/v0, now sir-true-references/v1",
    ):
        assert reason in said


def test_nothing_to_compute_again_is_an_error(finished, capsys) -> None:
    (finished.folder / "predictions.npz").unlink()
    assert main(["evaluate", "--all", "--runs", str(finished.root / "runs"), "--records", "none"]) == 1
    assert "no run could be recomputed" in capsys.readouterr().err


def test_a_run_is_measured_as_any_method(finished, capsys) -> None:
    path = finished.root / "out.json"
    for protocol in ("benchmark-shapes/v1", "clustering-geometry/v1"):
        assert (
            main(["evaluate", "--predictions", str(finished.folder), "--protocol", protocol, "--json", str(path)]) == 0
        )
        values = json.loads(path.read_text())["values"]
        if protocol == "benchmark-shapes/v1":
            assert values == pytest.approx({key: finished.metrics[key] for key in values}, rel=1e-6)
        else:
            expected = {key: finished.metrics[f"{key}_geometry"] for key in values}
            assert values == pytest.approx(expected, rel=1e-6)
    assert "face region of makehuman" in capsys.readouterr().out
    assert main(["evaluate", "--predictions", str(finished.folder), "--protocol", "benchmark-photos/v1"]) == 1
    assert "holds no photos_parameters" in capsys.readouterr().err
