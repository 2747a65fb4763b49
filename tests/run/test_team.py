import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.conftest import ROOT
from tests.run import two_processes
from tests.run.two_processes import CASES, configuration, train_all
from tests.run.two_workers import CONFIG, reduce_all

from recface.errors import RecfaceError
from recface.run.experiment import run_experiment
from recface.run.team import Team, assembled


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_batch(tmp_path, cache_dir, benchmark):
    one = {case: configuration(case, tmp_path / "one", cache_dir, devices=1) for case in CASES}
    parts = {"accumulated": 2}
    two = {case: configuration(case, tmp_path / "two", cache_dir, 2, parts.get(case, 1)) for case in CASES}
    train_all(one, Team())
    first = two["sir"]
    with assembled(first, TrainAll(two)) as team:
        train_all(two, team)
    for case in CASES:
        alone, together = (torch.load(tmp_path / name / case / "state.pt") for name in ("one", "two"))
        assert alone.keys() == together.keys()
        for key in alone:
            torch.testing.assert_close(together[key], alone[key], rtol=1e-5, atol=1e-5, msg=f"{case}: {key}")
        lines = [(tmp_path / name / case / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
        assert len(lines[0]) == len(lines[1]) == 1
        for line, other in zip(*lines, strict=True):
            expected, found = json.loads(line), json.loads(other)
            assert found.keys() == expected.keys()
            for key in (key for key in expected if key.startswith("loss/")):
                assert found[key] == pytest.approx(expected[key], rel=1e-5, abs=1e-5), f"{case}: {key}"
    cosines = [(tmp_path / name / "sfm" / "conflict.jsonl").read_text().splitlines() for name in ("one", "two")]
    for line, other in zip(*cosines, strict=True):
        assert json.loads(other) == pytest.approx(json.loads(line), rel=1e-4, abs=1e-4)


class TrainAll:
    """`train_all` of these configurations in another process."""

    def __init__(self, configs):
        self.configs = configs

    def __call__(self, config, team):
        train_all(self.configs, team)


@pytest.mark.slow
def test_sums_over_processes_and_the_failure_of_one(tmp_path):
    config = CONFIG | {"marker": str(tmp_path / "marker")}
    said = "process 1 of the run failed: ValueError: no room left"
    with pytest.raises(RecfaceError, match=said), assembled(config, reduce_all) as team:
        reduce_all(config, team)
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_nobody_outlives_the_first_process(start, number, code):
    command = [sys.executable, "-m", "tests.run.two_workers"]
    process = start(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pids = [int(process.stdout.readline()) for _ in range(2)]
    (other,) = set(pids) - {process.pid}
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == code
    begin = time.monotonic()
    while _runs(other):
        assert time.monotonic() - begin < 60, "the second process goes on without the first"
        time.sleep(0.05)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_a_run_goes_on_after_a_process_was_killed(tmp_path, cache_dir, benchmark, start):
    overrides = ["+experiment=sir", "scale=smoke", "trainer=ddp", "trainer.devices=2", "trainer.epoch_steps=2"]
    overrides += ["scale.stage2_steps=12", f"paths.cache={cache_dir}", f"paths.runs={tmp_path}", *two_processes.SLOW]
    command = [sys.executable, str(ROOT / "src" / "run.py"), *overrides]
    process = start(command, cwd=ROOT, stderr=subprocess.PIPE)
    begin = time.monotonic()
    while not list(tmp_path.glob("sir/*/seed=0/checkpoints/stage2-last.ckpt")):
        assert process.poll() is None and time.monotonic() - begin < 240, "the run ended before it could be killed"
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (other,) = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(int(other), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    said = "recface run: process 1 of the run was ended by SIGKILL; run the same command again\n"
    assert process.returncode == 1 and errors == said
    record = run_experiment(two_processes.compose_config(*overrides)).record
    assert record.state == "finished" and record.metrics["benchmark"]
    lines = next(tmp_path.glob("sir/*/seed=0/metrics.jsonl")).read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps[-1] == 12 and steps == sorted(steps)
