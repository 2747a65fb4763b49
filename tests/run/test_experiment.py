import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.official.store import write_store

from recface.data.workbench import open_workbench
from recface.errors import RecfaceError
from recface.files.checkpoints import load_state
from recface.run.evaluation import Network, verify_store
from recface.run.experiment import run_experiment, trained_variant
from recface.settings.compose import compose_config, known_experiments


def settings(tmp_path, cache_dir, *overrides):
    return compose_config("scale=smoke", f"paths.runs={tmp_path}/runs", f"paths.cache={cache_dir}", *overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache_dir, benchmark):
    """One finished smoke run of every experiment, in one folder, so that stage 1 is shared."""
    folder = tmp_path_factory.mktemp("smoke")
    return {name: run_experiment(settings(folder, cache_dir, f"+experiment={name}")) for name in known_experiments()}


def test_every_experiment_runs_and_records(finished):
    for name, folder in finished.items():
        record = json.loads(folder.record_path.read_text())
        assert record["state"] == "finished" and record["experiment"] == name and record["reason"] is None
        assert record["config"]["scale"]["name"] == "smoke" and record["data_manifest"]
        metrics = record["metrics"]["benchmark"]
        assert all(np.isfinite(value) for value in metrics.values())
        assert {"shape_error_mm", "nme", "geometry_auc", "param_auc", "control_shape_auc", "prior_kl"} <= set(metrics)
        assert set(record["protocols"]["benchmark"]) == set(metrics)
        lines = (folder.path / "metrics.jsonl").read_text().splitlines()
        assert lines and "loss/landmark" in json.loads(lines[-1])


def test_stage1_is_trained_once_and_shared(finished):
    runs = next(iter(finished.values())).path.parents[2]
    assert len(list(runs.glob("stage1/*/seed=0/run.json"))) == 1


def test_checkpoints_are_plain(finished):
    state = torch.load(finished["sir"].path / "checkpoints" / "final.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert "separation.weight" in state and not any(key.startswith("face_model") for key in state)


def test_predictions_give_the_recorded_metrics_again(finished):
    with np.load(finished["sir"].path / "predictions.npz") as stored:
        error, gram, parameters = stored["test_shape_error"], stored["basis_gram"], stored["test_parameters"]
        assert len(parameters) == len(stored["test_identity"]) == len(stored["test_nme"])
        assert np.linalg.eigvalsh(gram).min() > -1e-4
    metrics = finished["sir"].record.metrics["benchmark"]
    assert metrics["shape_error_mm"] == pytest.approx(error.mean(), abs=1e-5)
    assert metrics["param_energy"] == pytest.approx((parameters**2).mean(), rel=1e-5)


def test_a_finished_run_returns_at_once(finished, cache_dir, monkeypatch):
    monkeypatch.setattr("recface.run.experiment.open_workbench", lambda config: pytest.fail("trained again"))
    config = finished["sir"].record.config
    assert run_experiment(config).record.updated == finished["sir"].record.updated


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics_and_another_does_not(finished, tmp_path, cache_dir):
    again = run_experiment(settings(tmp_path, cache_dir, "+experiment=sir")).record.metrics["benchmark"]
    other = run_experiment(settings(tmp_path, cache_dir, "+experiment=sir", "seed=1")).record.metrics["benchmark"]
    first = finished["sir"].record.metrics["benchmark"]
    assert again == pytest.approx(first, abs=1e-6)
    assert other["shape_error_mm"] != first["shape_error_mm"]


@pytest.mark.slow
def test_validation_in_between_changes_no_result(tmp_path, cache_dir, benchmark):
    """It is no part of the run's hash, so it must not matter."""
    steps = ["scale.stage2_steps=6", "trainer.epoch_steps=2", "+experiment=sir"]
    plain = run_experiment(settings(tmp_path / "plain", cache_dir, *steps))
    write_store(tmp_path / "lfw", people=4, photos_each=5)
    names = [f"n{person:06d}/{5 * person + photo:04d}_01.jpg" for person in range(4) for photo in range(5)]
    pairs = [f"{names[k]},{names[k + step]},{same},{k}" for k in range(10) for step, same in ((1, 1), (9, 0))]
    (tmp_path / "lfw" / "pairs.csv").write_text("\n".join(("first,second,same,fold", *pairs, "")))
    watch = ("trainer.validate=true", f"trainer.validate_on=[{tmp_path / 'lfw'}]")
    watched = run_experiment(settings(tmp_path / "watched", cache_dir, *steps, *watch))
    assert watched.record.hash == plain.record.hash and watched.record.metrics == plain.record.metrics
    rows = [json.loads(line) for line in (watched.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    final = watched.record.metrics["validation"]["geometry_auc"]
    assert rows[-1]["validation/geometry_auc"] == pytest.approx(final, abs=1e-6)
    assert len({row["validation/geometry_auc"] for row in rows}) > 1
    assert all(0 <= row["validation/lfw/accuracy"] <= 1 for row in rows)
    network = Network(trained_variant(open_workbench(watched.record.config), watched))
    assert rows[-1]["validation/lfw/auc"] == pytest.approx(verify_store(network, tmp_path / "lfw", 32)["auc"])
    assert "validation/geometry_auc" not in (plain.path / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_an_interrupted_run_says_so(tmp_path, cache_dir, benchmark, start):
    command = [sys.executable, str(ROOT / "src" / "run.py"), "+experiment=sir", "scale=smoke"]
    command += [
        "scale.stage2_steps=9000",
        "trainer.epoch_steps=4",
        f"paths.runs={tmp_path}",
        f"paths.cache={cache_dir}",
    ]
    process = start(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    begin = time.monotonic()
    while not list(tmp_path.glob("sir/*/seed=0/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() - begin < 240, "the run ended before it could be stopped"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and errors == "recface run: interrupted: run the same command again to resume\n"
    record = json.loads(next(tmp_path.glob("sir/*/seed=0/run.json")).read_text())
    assert record["state"] == "interrupted" and record["reason"] == "interrupted"


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(finished, tmp_path, cache_dir, start):
    steps = ["scale.stage2_steps=40", "trainer.epoch_steps=4", "+experiment=sir"]
    whole = run_experiment(settings(tmp_path / "whole", cache_dir, *steps))
    config = settings(tmp_path / "killed", cache_dir, *steps)
    command = [
        sys.executable,
        str(ROOT / "src" / "run.py"),
        "scale=smoke",
        *steps,
        f"paths.runs={config['paths']['runs']}",
        f"paths.cache={cache_dir}",
    ]
    process = start(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    while not list(tmp_path.glob("killed/runs/sir/*/seed=0/checkpoints/stage2-last.ckpt")):
        assert process.poll() is None and time.monotonic() - begin < 240, "the run ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run_experiment(config)
    assert resumed.record.metrics["benchmark"] == pytest.approx(whole.record.metrics["benchmark"], abs=1e-6)


def test_a_wrong_path_of_photos_is_told_before_training(tmp_path, cache_dir):
    with pytest.raises(RecfaceError, match=r"data\.photos: no table nowhere"):
        run_experiment(settings(tmp_path, cache_dir, "+experiment=sir", "data.photos=nowhere"))
    assert not list(tmp_path.glob("**/checkpoints"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, weights: None if "shape" in name else weights, r"lacks encoders\.shape\..*another network"),
        (lambda name, weights: weights * float("nan") if weights.is_floating_point() else weights, "holds NaN"),
    ],
    ids=["entries missing", "NaN"],
)
def test_a_shared_stage_1_that_is_not_whole_is_refused(finished, tmp_path, cache_dir, change, said):
    shutil.copytree(finished["sir"].path.parents[2] / "stage1", tmp_path / "runs" / "stage1")
    for path in tmp_path.glob("runs/stage1/*/seed=0/checkpoints/final.pt"):
        changed = {name: change(name, weights) for name, weights in load_state(path).items()}
        torch.save({name: weights for name, weights in changed.items() if weights is not None}, path)
    with pytest.raises(RecfaceError, match=rf"stage1/.*/seed=0/checkpoints/final\.pt: .*{said}"):
        run_experiment(settings(tmp_path, cache_dir, "+experiment=sir"))


def test_a_failed_run_says_why_in_one_line(tmp_path, cache_dir, benchmark):
    command = [
        sys.executable,
        str(ROOT / "src" / "run.py"),
        "+experiment=sir",
        "scale=smoke",
        f"paths.runs={tmp_path}",
        f"paths.cache={cache_dir}",
        "+data.sources.mine={kind:manifest,path:nowhere,share:0.1}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1 and done.stderr.strip().count("\n") == 0
    assert "data source 'mine': no table nowhere" in done.stderr
    record = json.loads(next(tmp_path.glob("sir/*/seed=0/run.json")).read_text())
    assert record["state"] == "failed" and "no table nowhere" in record["reason"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["loss.landmark=1e299"], "loss term '.*' is (NaN|infinite)"),
        (["face_model=npz", "face_model.path=nowhere.npz"], "nowhere.npz"),
        (["face_model=npz", "face_model.path={tmp}/wrong.npz"], "wrong.npz.*mean"),
        (["model.backbone=resnet10tt"], "resnet10tt"),
    ],
)
def test_mistakes_end_in_one_line_and_a_failed_record(overrides, said, tmp_path, cache_dir):
    np.savez(tmp_path / "wrong.npz", triangles=np.zeros((3, 3)))
    overrides = [text.replace("{tmp}", str(tmp_path)) for text in overrides]
    with pytest.raises(RecfaceError, match=said) as caught:
        run_experiment(settings(tmp_path, cache_dir, "+experiment=baseline", *overrides))
    assert "\n" not in str(caught.value)
    record = json.loads(next(tmp_path.glob("runs/baseline/*/seed=0/run.json")).read_text())
    assert record["state"] == "failed" and record["reason"] == str(caught.value)


@pytest.mark.slow
def test_weights_and_biases_without_a_key_is_kept_offline(finished, tmp_path, cache_dir, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no key in a netrc either
    folder = run_experiment(settings(tmp_path, cache_dir, "+experiment=baseline", "logger=wandb"))
    assert "no WANDB_API_KEY" in capsys.readouterr().err
    assert list(folder.path.glob("wandb/offline-run-*/*.wandb"))
    assert folder.record.metrics["benchmark"] == finished["baseline"].record.metrics["benchmark"]


@pytest.mark.data
@pytest.mark.slow
def test_real_photographs_are_added_to_a_finished_run(shared_data, tmp_path, cache_dir):
    ict = shared_data / "ict_face" / "ict_face.npz"
    model = ["+experiment=sir", "face_model=ict", f"face_model.path={ict}"]
    first = run_experiment(settings(tmp_path, cache_dir, *model))
    assert "photos" not in first.record.metrics
    second = run_experiment(settings(tmp_path, cache_dir, *model, f"data.photos={shared_data / 'london'}"))
    assert second.path == first.path and {*first.record.metrics, "photos"} == set(second.record.metrics)
    assert second.record.metrics["benchmark"] == first.record.metrics["benchmark"]
    assert all(0 < second.record.metrics["photos"][key] < 1 for key in ("geometry_auc", "matched_geometry_auc"))
    with np.load(second.path / "predictions.npz") as stored:
        assert stored["photos_parameters"].shape == (120, 100) and "test_parameters" in stored
