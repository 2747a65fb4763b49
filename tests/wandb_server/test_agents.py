"""The unmodified `wandb sweep` and `wandb agent` command lines, and stand-in programs that need no training."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.conftest import ROOT
from tests.wandb_server import WandbServer
from tests.wandb_server.agents import agents, children_of, create_sweep
from tests.wandb_server.state import ENTITY

pytestmark = pytest.mark.slow

# Stands in for run.py: reports to W&B and writes a run folder; what has finished is not done again.
PROGRAM = """
import os, signal, sys, time
signal.alarm(300)  # outlives no test run that was killed
import wandb
from recface.settings.overrides import normalize_arguments
from recface.tracking import RunFolder, RunRecord, run_path
given = dict(text.lstrip("+").split("=", 1) for text in normalize_arguments(sys.argv[1:], os.environ))
with open("order.txt", "a") as file:
    file.write(f"{given['experiment']} {given['seed']} {os.getpid()} {given.get('parent', '-')}\\n")
config = {"name": given["experiment"], "variant": "x", "parent": None, "paths": {"runs": "runs"}, "loss": {"kl": 1e-05}}
folder = RunFolder.open(run_path("runs", given["experiment"], "0123abcd", int(given["seed"])))
with wandb.init(config=config, resume="allow") as run, folder.lock(), folder.running(
    RunRecord(given["experiment"], "0123abcd", int(given["seed"]), config=config)
):
    if given["experiment"] == "bad":
        raise SystemExit(3)
    end = time.monotonic() + float(os.environ["STAND_IN_SECONDS"])
    while time.monotonic() < end:
        run.log({"loss": end - time.monotonic()})
        time.sleep(0.2)
    folder.finish({"benchmark": {"geometry_auc": 0.9}})
    run.summary["benchmark/geometry_auc"] = 0.9
"""


@pytest.fixture
def server():
    with WandbServer(silence=8.0) as running:
        yield running


def sweep_file(folder, experiments=("baseline", "sir"), seeds=(0, 1)):
    (folder / "program.py").write_text(PROGRAM)
    content = {
        "program": "program.py",
        "project": "recface",
        "method": "grid",
        "parameters": {"+experiment": {"values": list(experiments)}, "seed": {"values": list(seeds)}},
        "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"],
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))


def started_points(folder):
    """[experiment, seed, process, parent as it was given] of every start."""
    path = folder / "order.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds, folder):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, (folder / "agents.log").read_text()[-3000:]
        time.sleep(0.2)


def check_complete(server, folder, points):
    """Every point finished once, none lost, and its folder complete."""
    runs = list(server.state.runs.values())
    found = collections.Counter((run.arguments["+experiment"]["value"], run.arguments["seed"]["value"]) for run in runs)
    assert found == collections.Counter(points)
    assert [(run.state, run.exit_codes) for run in runs] == [("finished", [0])] * len(points)
    assert len(list(folder.glob("runs/*/0123abcd/seed=*/run.json"))) == len(points)


POINTS = [(experiment, seed) for experiment in ("baseline", "sir") for seed in (0, 1)]


def test_two_agents_at_once_take_a_sweep_to_its_end(server, tmp_path):
    sweep_file(tmp_path)
    sweep = create_sweep(server, "toy.yaml", tmp_path)
    with agents(server, sweep, tmp_path, 2, STAND_IN_SECONDS="1") as started:
        assert [process.wait(timeout=240) for process in started] == [0, 0]
    check_complete(server, tmp_path, POINTS)
    assert len(started_points(tmp_path)) == len(POINTS)
    first = [server.state.runs[("recface", name)] for name in server.state.sweeps["sweep0"].runs]
    assert [(run.arguments["+experiment"]["value"], run.arguments["seed"]["value"]) for run in first] == POINTS
    assert len({run.agent for run in first}) == 2
    read_back(server, tmp_path, sweep)


def read_back(server, folder, sweep):
    """`wandb.Api` in a process of its own sees runs, configuration, summary and sweep."""
    code = f"""
import wandb
api = wandb.Api()
runs = list(api.runs("{ENTITY}/recface", per_page=3))
print(sorted((r.config["+experiment"], r.config["seed"], r.state, r.summary["benchmark/geometry_auc"]) for r in runs))
print(api.sweep("{sweep}").state, len(api.runs("{ENTITY}/recface", filters={{"sweep": "sweep0"}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=server.environment(folder), capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert lines == [str([(*point, "finished", 0.9) for point in POINTS]), "FINISHED 4"], done.stdout + done.stderr


@pytest.mark.parametrize("with_its_run", [True, False], ids=["machine lost", "agent killed"])
def test_a_sweep_outlives_an_agent_that_is_killed(server, tmp_path, with_its_run):
    sweep_file(tmp_path)
    sweep = create_sweep(server, "toy.yaml", tmp_path)
    with agents(server, sweep, tmp_path, 2, STAND_IN_SECONDS="4") as (victim, other):
        runs = server.state.runs
        wait_for(lambda: len(runs) == 2 and all(run.history for run in runs.values()), 120, tmp_path)
        # agent0 is the one that registered first, not the process that was started first: kill by what it works on
        children = children_of(victim.pid)
        victim.send_signal(signal.SIGKILL)
        if with_its_run:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert other.wait(timeout=300) == 0
    check_complete(server, tmp_path, POINTS)
    starts = started_points(tmp_path)
    again = [line for line in starts if line[3] != "-"]  # a re-sent configuration says who the parent is
    if with_its_run:
        assert len(starts) == len(POINTS) + 1 and [line[3] for line in again] == ["null"]
    else:
        assert len(starts) == len(POINTS) and not again  # the orphaned process went on to its end


def test_a_point_that_fails_is_seen_and_not_tried_again(server, tmp_path):
    sweep_file(tmp_path, experiments=("bad", "sir"), seeds=(0,))
    sweep = create_sweep(server, "toy.yaml", tmp_path)
    with agents(server, sweep, tmp_path, 1, STAND_IN_SECONDS="0.2") as started:
        assert started[0].wait(timeout=240) == 0  # what W&B's agent says even so
    states = {run.arguments["+experiment"]["value"]: run.state for run in server.state.runs.values()}
    assert states == {"bad": "failed", "sir": "finished"} and len(started_points(tmp_path)) == 2


def test_our_sweep_file_starts_run_py_rightly(server, tmp_path):
    """`wandb sweep sweeps/ablation.yaml`, and what the agent makes of it: run.py prints the configuration and ends."""
    sweep = create_sweep(server, ROOT / "sweeps" / "ablation.yaml", tmp_path)
    points = server.state.sweeps["sweep0"].waiting
    assert len(points) == 15
    assert points[0] == {"+experiment": {"value": "baseline"}, "seed": {"value": 0}}
    del points[2:]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "run.py").write_text(
        f"import runpy, sys\nsys.argv += ['--cfg', 'job']\nrunpy.run_path({str(ROOT / 'src' / 'run.py')!r}, "
        "run_name='__main__')\n"
    )
    with agents(server, sweep, tmp_path, 1) as started:
        assert started[0].wait(timeout=240) == 0
    printed = (tmp_path / "agents.log").read_text()
    assert printed.count("name: wandb") == 2 and printed.count("variant: baseline") == 2
    assert "seed: 0" in printed and "seed: 1" in printed and "error:" not in printed


def test_what_is_not_modeled_fails_the_test(tmp_path):
    code = "import wandb; wandb.Api().create_project('x', 'y')"
    with pytest.raises(AssertionError, match="GraphQL CreateProject"), WandbServer() as running:
        subprocess.run(
            [sys.executable, "-c", code], env=running.environment(tmp_path), capture_output=True, timeout=120
        )
