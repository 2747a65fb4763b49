"""Sweeps of small stand-in programs, through the real entry point and its subprocesses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.sweeps.toy import Listed

from recface.sweeps.display import describe, duration, remaining, summary
from recface.sweeps.points import Job
from recface.sweeps.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "src" / "sweep.py"

# Stands in for run.py: a run folder with its record, progress, failure, and nothing to do the second time.
PROGRAM = """
import os, sys, time
from recface.errors import RecfaceError
from recface.tracking import RunFolder, RunRecord, run_path
given = dict(argument.lstrip("+").split("=", 1) for argument in sys.argv[1:])
folder = RunFolder.open(run_path("runs", given["experiment"], "0123abcd", int(given["seed"])))
if folder.is_finished:
    sys.exit(0)
with open("order.txt", "a") as file:
    file.write(f"{given['experiment']} {given['seed']} {os.environ['OMP_NUM_THREADS']}\\n")
try:
    with folder.running(RunRecord(given["experiment"], "0123abcd", int(given["seed"]))):
        folder.progress(0, 2, phase="stage1", loss=1.5)
        if given["experiment"] == "bad":
            raise RecfaceError("loss pixel is NaN at step 3")
        if given["experiment"] == "slow":
            time.sleep(60)
        folder.progress(2, 2, phase="stage2")
        folder.finish({"benchmark": {"geometry_auc": 0.9}})
except RecfaceError as error:
    print("not the last word")
    sys.exit(f"run.py: {error}")
"""


def sweep_file(folder, experiments, seeds=(0, 1)):
    (folder / "program.py").write_text(PROGRAM)
    content = {
        "program": "program.py",
        "method": "grid",
        "parameters": {"+experiment": {"values": list(experiments)}, "seed": {"values": list(seeds)}},
        "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"],
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))


def command(*arguments):
    return [sys.executable, str(ENTRY), "toy.yaml", *arguments]


@pytest.fixture
def environment():
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}


def test_sweep_runs_every_point_once_and_skips_finished_ones(tmp_path, environment):
    sweep_file(tmp_path, ["baseline", "sir"])
    first = subprocess.run(command(), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    lines = [line.split() for line in (tmp_path / "order.txt").read_text().splitlines()]
    assert sorted(line[:2] for line in lines) == [[e, s] for e in ("baseline", "sir") for s in "01"]
    assert len({line[2] for line in lines}) == 1
    assert "4/4 points, 100%" in first.stdout
    assert (tmp_path / "results" / "ablation.csv").exists()
    assert "experiment=sir,seed=1" in first.stdout
    assert (tmp_path / "runs/logs/toy-experiment=sir,seed=1.log").exists()
    assert not list((tmp_path / "runs/logs").glob("*.progress.json"))
    again = subprocess.run(command("--no-tables"), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.returncode == 0
    assert again.stdout.count("was finished before") == 4
    assert len((tmp_path / "order.txt").read_text().splitlines()) == 4


def test_failed_point_gives_its_reason_and_the_rest_go_on(tmp_path, environment):
    sweep_file(tmp_path, ["bad", "sir"], seeds=[0])
    arguments = command("--workers", "1", "--no-tables")
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "experiment=bad failed: loss pixel is NaN at step 3 (log: runs/logs/toy-experiment=bad.log)" in done.stdout
    assert re.search("experiment=sir finished", done.stdout)
    assert "1 failed" in done.stdout


def test_interrupt_stops_the_children(tmp_path, environment):
    sweep_file(tmp_path, ["slow"], seeds=[0, 1, 2])
    process = subprocess.Popen(command("--no-tables"), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    records = [tmp_path / f"runs/slow/0123abcd/seed={seed}/run.json" for seed in (0, 1)]
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in records) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rerun the command to resume" in errors
    assert [json.loads(path.read_text())["reason"] for path in records] == ["interrupted"] * 2
    assert not (tmp_path / "runs/slow/0123abcd/seed=2").exists()


def test_dry_run_prints_the_commands_and_runs_nothing(tmp_path, environment):
    sweep_file(tmp_path, ["sir"])
    arguments = command("--dry-run", "seed=5", "--workers", "3", "loss.kl=1")
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"/usr/bin/env {sys.executable} program.py +experiment=sir loss.kl=1 seed=5\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["seed"], ["nope.yaml"]])
def test_mistakes_are_one_line(tmp_path, environment, arguments):
    sweep_file(tmp_path, ["sir"])
    line = [sys.executable, str(ENTRY), "nope.yaml"] if arguments == ["nope.yaml"] else command(*arguments)
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("recface sweep: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "points"),
    [("ablation", 15), ("ablation_ict", 18), ("convergence", 15), ("sfm", 12), ("tradeoff", 12)],
)
def test_the_projects_sweeps_are_right(name, points, environment):
    line = [sys.executable, str(ENTRY), f"sweeps/{name}.yaml", "--dry-run"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(set(lines)) == points
    assert all("src/run.py +experiment=" in line and " seed=" in line for line in lines)
    assert all(("face_model=ict" in line) == (name == "ablation_ict") for line in lines)


def test_the_projects_search_is_right(environment):
    line = [sys.executable, str(ENTRY), "sweeps/search.yaml", "--run-cap", "7", "--dry-run"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    heading, command_line = done.stdout.splitlines()
    assert heading.startswith("# 7 points, method bayes")
    drawn = {part.split("=")[0] for part in command_line.split() if "={" in part}
    assert drawn == {"sir.separation", "sir.center", "sir.prior", "loss.pixel"}
    assert "trainer.validate=True" in command_line  # else points would be compared by a loss whose weights are searched


def test_never_more_than_the_workers_at_a_time(tmp_path):
    jobs = [
        Job(str(i), [sys.executable, "-c", "import time; time.sleep(0.3)"], tmp_path / f"{i}.log") for i in range(5)
    ]
    seen = []
    runner = Runner(
        Listed(tmp_path, jobs), workers=2, tick=lambda: seen.append(sum(job.state == "running" for job in jobs))
    )
    assert runner.run() == 0
    assert max(seen) == 2
    assert {job.state for job in jobs} == {"finished"}


def test_output_of_a_crash_is_the_reason(tmp_path):
    crash = Job("a", [sys.executable, "-c", "print('x'); raise SystemExit('run.py: unknown key')"], tmp_path / "a.log")
    silent = Job("b", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "b.log")
    killed = Job("c", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], tmp_path / "c.log")
    assert Runner(Listed(tmp_path, [crash, silent, killed])).run() == 3
    assert crash.reason == "run.py: unknown key"
    assert silent.reason == "exit code 3, no output"
    assert killed.reason == "ended by signal 9"


def test_time_left_is_by_the_pace_of_what_was_run():
    def job(state, progress=None):
        return Job("a", [], Path("a.log"), state=state, progress=progress or {})

    half = {"step": 5, "total": 10}
    jobs = [job("finished"), job("finished", half), job("running", half), job("waiting")]
    assert remaining(jobs, 60.0) == pytest.approx(60.0)  # one and a half done in a minute, as much is left
    assert remaining([job("waiting")], 1.0) is None
    assert remaining(jobs[:2], 60.0) == 0.0
    assert summary(jobs, 60.0) == "2/4 points, 62%, 1:00 gone, 1:00 left"
    assert describe(jobs[0])[1] == "finished before"
    assert describe(jobs[2])[2] == "5/10"


def test_duration():
    assert [duration(s) for s in (None, 0, 61, 3725)] == ["?", "0:00", "1:01", "1:02:05"]


def test_live_table_can_be_drawn(monkeypatch, capsys):
    from recface.sweeps.display import Live

    progress = {"step": 1, "total": 4, "loss": 0.25}
    jobs = [Job("experiment=sir,seed=0", [], Path("a.log"), state="running", progress=progress)]
    with Live(jobs) as display:
        display.note("a line [not markup]")
        display.tick()
    shown = capsys.readouterr().out
    assert "experiment=sir,seed=0" in shown
    assert "1/4" in shown
    assert "a line [not markup]" in shown
