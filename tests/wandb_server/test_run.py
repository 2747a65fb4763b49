"""The real src/run.py, at scale=smoke: under an agent, and with a server that goes away."""

import json
import subprocess
import sys
import time

import pytest
import yaml

from tests.conftest import ROOT
from tests.wandb_server import WandbServer
from tests.wandb_server.agents import agents, create_sweep
from tests.wandb_server.state import ENTITY

pytestmark = pytest.mark.slow

TABLE = {
    "name": "toy",
    "title": "Toy",
    "blocks": [{"name": "smoke", "metrics": "benchmark", "select": {"scale.name": "smoke"}}],
    "rows": [{"experiment": "baseline"}, {"experiment": "sir", "parent": "baseline"}],
    "columns": [
        {"metric": "shape_error_mm", "direction": "lower", "digits": 6},
        {"metric": "geometry_auc", "direction": "higher", "digits": 6},
        {"metric": "prior_kl", "direction": "lower", "digits": 6},
    ],
}


def sweep_file(folder):
    content = {
        "program": str(ROOT / "src" / "run.py"),
        "project": "recface",
        "method": "grid",
        "parameters": {
            "+experiment": {"values": ["baseline", "sir"]},
            "seed": {"value": 0},
            "scale": {"value": "smoke"},
        },
        "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"],
    }
    folder.mkdir()
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    (folder / "tables").mkdir()
    (folder / "tables" / "toy.yaml").write_text(yaml.safe_dump(TABLE))


def python(script, *arguments, folder, environment, seconds=400):
    done = subprocess.run(
        [sys.executable, str(ROOT / "src" / script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def cells(folder):
    """Content of every table, without the lines that say where it comes from."""
    files = sorted((folder / "results").glob("toy.*"))
    assert {file.suffix for file in files} >= {".csv", ".md", ".tex"}
    texts = {file.name: file.read_text() for file in files if file.suffix != ".png"}
    return {name: [line for line in text.splitlines() if "Provenance:" not in line] for name, text in texts.items()}


def test_an_agents_sweep_and_ours_give_the_same_cells(tmp_path, cache_dir):
    paths = {"RECFACE_CACHE": str(cache_dir.resolve()), "PYTHONPATH": str(ROOT / "src")}
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with WandbServer(silence=60.0) as server:
        environment = server.environment(tmp_path, **paths)
        for folder in (ours, theirs):
            sweep_file(folder)
        python("sweep.py", "toy.yaml", "--workers", "1", folder=ours, environment=environment)
        python("tables.py", "--configs", "tables", folder=ours, environment=environment)
        with agents(server, create_sweep(server, "toy.yaml", theirs), theirs, 1, **paths) as started:
            assert started[0].wait(timeout=500) == 0
        built = ["--configs", "tables", "--wandb", f"{ENTITY}/recface"]
        python("tables.py", *built, folder=theirs, environment=environment)
        assert cells(theirs) == cells(ours)
        assert "| × |" not in (theirs / "results" / "toy.md").read_text()
        # What was built from W&B alone is what a clone rebuilds, and it holds the runs that were made here, too.
        python("tables.py", "--configs", "tables", "--check", "--runs", "none", folder=theirs, environment=environment)
        runs = {run.arguments["+experiment"]["value"]: run for run in server.state.runs.values()}
        assert set(runs) == {"baseline", "sir"} and {run.state for run in runs.values()} == {"finished"}
        check_content(runs["sir"], json.loads(next(theirs.glob("runs/sir/*/seed=0/run.json")).read_text()))
        steps = {name: [row["trainer/global_step"] for row in run.history] for name, run in runs.items()}
        # One x axis over both stages; stage 1 is in the run that trained it.
        assert steps["baseline"][0] == 0 and steps["sir"][0] == 4 and steps["baseline"][-1] == steps["sir"][-1] == 7
        assert all(values == sorted(values) for values in steps.values())
        # A sweep over what is finished already reports it, and trains nothing.
        again = create_sweep(server, "toy.yaml", theirs)
        before = {path: path.read_bytes() for path in theirs.glob("runs/*/*/seed=*/run.json")}
        with agents(server, again, theirs, 1, **paths) as started:
            assert started[0].wait(timeout=500) == 0
        last = [server.state.runs[("recface", name)] for name in server.state.sweeps["sweep1"].runs]
        assert [run.state for run in last] == ["finished"] * 2
        assert last[1].summary["benchmark/geometry_auc"] == runs["sir"].summary["benchmark/geometry_auc"]
        assert before == {path: path.read_bytes() for path in before}


def check_content(run, record):
    """Everything that a run should report is in a run of SIR."""
    assert run.about["groupName"] == "sir" and run.about["jobType"] == "stage2" and "smoke" in run.about["tags"]
    assert run.config["loss"]["value"]["pixel"] == record["config"]["loss"]["pixel"]
    assert run.summary["benchmark/geometry_auc"] == record["metrics"]["benchmark"]["geometry_auc"]
    assert run.summary["validation/shape_error_mm"] == record["metrics"]["validation"]["shape_error_mm"]
    assert json.loads(run.files["record/run.json"]) == record
    artifacts = {artifact["type"]: artifact for artifact in run.artifacts}
    assert sorted(artifacts["record"]["files"]) == ["predictions.npz", "run.json"]
    assert artifacts["model"]["files"] == ["final.pt"]
    assert {artifact["state"] for artifact in artifacts.values()} == {"COMMITTED"}
    keys = set().union(*run.history)
    assert {"loss/total", "loss/separation", "gradient_norm", "stage", "pictures/validation"} <= keys
    assert {"source/identity/separation", "source/landmark/landmark"} <= keys
    assert "source/identity/landmark" not in keys  # those photos carry no landmarks
    assert any(key.startswith("lr-") for key in keys)
    assert all("trainer/global_step" in row for row in run.history)
    assert {"meshes/validation", "pictures/roc", "pictures/errors", "pictures/maps"} <= keys
    for beginning in ("media/images/pictures/validation", "media/images/pictures/roc"):
        assert any(name.startswith(beginning) for name in run.files)
    mesh = next(content for name, content in run.files.items() if name.startswith("media/object3D/meshes/validation"))
    assert mesh.startswith(b"# millimeters\nv ")


def test_a_run_outlives_its_server(tmp_path, cache_dir):
    steps = ["+experiment=sir", "scale=smoke", "scale.stage2_steps=60", "trainer.epoch_steps=10", "logger=wandb"]
    with WandbServer() as server:
        environment = server.environment(tmp_path, WANDB_FINISH_TIMEOUT="5", RECFACE_CACHE=str(cache_dir.resolve()))
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "src" / "run.py"), *steps],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            deadline = time.monotonic() + 240
            while not any(run.history for run in server.state.runs.values()):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            server.stop()
            said, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        assert next(iter(server.state.runs.values())).exit_codes == []  # it had not ended when the server went away
    assert process.returncode == 0, said
    assert "W&B: the server does not answer" in said and "wandb sync" in said
    folder = next(tmp_path.glob("runs/sir/*/seed=0"))
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "finished" and record["metrics"]["benchmark"]["geometry_auc"] > 0
    assert (folder / "predictions.npz").exists() and (folder / "checkpoints" / "final.pt").exists()
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 60
    assert list(folder.glob("wandb/run-*/*.wandb"))


def test_a_server_that_was_never_there_leaves_the_run_offline(tmp_path, cache_dir):
    with WandbServer() as server:
        environment = server.environment(tmp_path, RECFACE_CACHE=str(cache_dir.resolve()))
        server.stop()
    arguments = ["+experiment=baseline", "scale=smoke", "scale.stage1_steps=1", "scale.stage2_steps=1", "logger=wandb"]
    done = python("run.py", *arguments, folder=tmp_path, environment=environment)
    assert f"W&B: {server.url} does not answer, so this run is kept offline" in done.stderr
    assert list(tmp_path.glob("runs/baseline/*/seed=0/wandb/offline-run-*/*.wandb"))


def test_a_run_that_fails_says_so_to_wandb(tmp_path, cache_dir):
    with WandbServer() as server:
        environment = server.environment(tmp_path, RECFACE_CACHE=str(cache_dir.resolve()))
        arguments = ["+experiment=sir", "scale=smoke", "logger=wandb", "model.backbone=nonesuch"]
        command = [sys.executable, str(ROOT / "src" / "run.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 1 and "nonesuch" in done.stderr
        (run,) = server.state.runs.values()
        assert run.state == "failed" and run.exit_codes == [1]
        record = json.loads(run.files["record/run.json"])
        assert record["state"] == "failed" and "nonesuch" in record["reason"]
