"""Sweeps of small stand-in programs, through the real entry point and its subprocesses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.sweeps.toy import ENTRY, Listed

from recface.sweeps.display import describe, duration, remaining, summary
from recface.sweeps.points import Job
from recface.sweeps.runner import Runner


def test_sweep_runs_every_point_once_and_skips_finished_ones(toy):
    toy.grid(["baseline", "sir"])
    first = toy.run(tables=True)
    assert first.returncode == 0, first.stdout + first.stderr
    assert sorted(line[1:] for line in toy.order("begin")) == [[e, s] for e in ("baseline", "sir") for s in "01"]
    assert "4/4 points, 100%" in first.stdout
    assert (toy.folder / "results" / "ablation.csv").exists()
    assert "experiment=sir,seed=1" in first.stdout
    assert (toy.folder / "runs/logs/toy-experiment=sir,seed=1.log").exists()
    assert not list((toy.folder / "runs/logs").glob("*.progress.json"))
    again = toy.run()
    assert again.returncode == 0
    assert again.stdout.count("was finished before") == 4
    assert len(toy.order("begin")) == 4 and not toy.order("again")


def test_workers_share_the_cores(toy):
    toy.grid(["threads"]).run("--workers", "2")
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert [line[1] for line in toy.order("threads")] == [str(share)] * 2


def test_failed_point_gives_its_reason_and_the_rest_go_on(toy):
    done = toy.grid(["bad", "toy"], seeds=[0]).run("--workers", "1")
    assert done.returncode == 1
    assert "experiment=bad failed: loss pixel is NaN at step 3 (log: runs/logs/toy-experiment=bad.log)" in done.stdout
    assert "experiment=toy finished" in done.stdout
    assert "1 failed" in done.stdout


def test_interrupt_stops_the_children(toy):
    process = toy.grid(["hold"], seeds=[0, 1, 2]).start()
    runs = "runs/hold/*/seed=*/run.json"
    toy.wait(lambda: len(toy.order("begin")) == 2 == len(list(toy.folder.glob(runs))))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "recface sweep: interrupted: run the same command again to resume" in output
    records = [json.loads(path.read_text()) for path in toy.folder.glob(runs)]
    assert [(record["state"], record["reason"]) for record in records] == [("interrupted", "interrupted")] * 2


def test_dry_run_prints_the_commands_and_runs_nothing(toy):
    done = toy.grid(["sir"]).run("--dry-run", "seed=5", "--workers", "3", "loss.kl=1")
    assert done.stdout == f"/usr/bin/env {sys.executable} program.py +experiment=sir loss.kl=1 seed=5\n"
    assert not (toy.folder / "runs").exists()


@pytest.mark.parametrize("arguments", [["toy.yaml", "--workers", "0"], ["toy.yaml", "seed"], ["nope.yaml"]])
def test_mistakes_are_one_line(toy, arguments):
    toy.grid(["sir"])
    line = [sys.executable, str(ENTRY), *arguments]
    done = subprocess.run(line, cwd=toy.folder, env=toy.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("recface sweep: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "points"),
    [("ablation", 15), ("converged", 64), ("convergence", 18), ("sfm", 12), ("tradeoff", 16)],
)
def test_the_projects_sweeps_are_right(name, points):
    line = [sys.executable, str(ENTRY), f"sweeps/{name}.yaml", "--dry-run"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(set(lines)) == points
    assert all("src/run.py +experiment=" in line and " seed=" in line for line in lines)


def test_the_projects_search_is_right():
    line = [sys.executable, str(ENTRY), "sweeps/search.yaml", "--run-cap", "7", "--dry-run"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    heading, command_line = done.stdout.splitlines()
    assert heading.startswith("# 7 points, method random")
    drawn = {part.split("=")[0] for part in command_line.split() if "={" in part}
    assert drawn == {f"sir.{key}" for key in ("separation", "softmax_scale", "center", "center_rate", "prior")}


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


def test_a_child_that_is_not_yet_said_to_run_is_stopped_too(tmp_path):
    """As where an interrupt comes between its start and the note of it."""
    job = Job("a", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "a.log")
    runner = Runner(Listed(tmp_path, [job]))
    runner._start(job)
    job.state = "waiting"
    runner._stop([job])
    assert runner._processes[id(job)].returncode == -signal.SIGINT and job.state == "stopped"


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
