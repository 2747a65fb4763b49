"""Signals that end a program: in time, with a shell's exit code, in one line, and as a record that resumes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.conftest import ROOT

from recface.cli.program import PATIENCE_SECONDS, ended
from recface.errors import Interrupted
from recface.sweeps.runner import GRACE_SECONDS

SAID = "interrupted: run the same command again to resume\n"
RUN = [sys.executable, "src/run.py", "+experiment=sir", "scale=smoke", "scale.stage1_steps=2", "trainer.epoch_steps=1"]


@pytest.fixture(autouse=True)
def defaults():
    """The handlers of a program that has just been started, whatever started the tests: nohup ignores SIGHUP."""
    wanted = {n: signal.SIG_DFL for n in (signal.SIGHUP, signal.SIGTERM)} | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield wanted
    for number, handler in before.items():
        signal.signal(number, handler)


def stopped(start, number, folder, *arguments, until):
    """Send a signal to a run once its record says that it is so far; returns exit code, stderr and record."""
    command = [*RUN, f"paths.runs={folder}", *arguments]
    process = start(command, cwd=ROOT, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 100
    while not any(until(json.loads(path.read_text())) for path in folder.glob("sir/*/seed=0/progress.json")):
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be stopped"
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors, json.loads(next(folder.glob("sir/*/seed=0/run.json")).read_text())


@pytest.mark.slow
def test_a_kill_in_stage_2_is_an_interrupt(tmp_path, cache_dir, start):
    arguments = ["scale.stage2_steps=9000", f"paths.cache={cache_dir}"]
    until = lambda progress: progress["phase"] == "stage2" and progress["step"] > 2  # noqa: E731
    code, errors, record = stopped(start, signal.SIGTERM, tmp_path, *arguments, until=until)
    assert (code, errors) == (143, f"recface run: {SAID}")
    assert (record["state"], record["reason"]) == ("interrupted", "interrupted by SIGTERM")


@pytest.mark.slow
def test_a_closed_terminal_while_data_are_made_is_an_interrupt(tmp_path, start):
    arguments = ["scale.test_people=400", f"paths.cache={tmp_path / 'cache'}"]  # a cache of its own: all is made anew
    code, errors, record = stopped(start, signal.SIGHUP, tmp_path / "runs", *arguments, until=lambda progress: True)
    assert (code, errors) == (129, f"recface run: {SAID}")
    assert (record["state"], record["reason"]) == ("interrupted", "interrupted by SIGHUP")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_raises_once_and_leaves_no_handler(number, code, capsys, defaults):
    tidied = []

    def body():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), number)  # such as systemd's second one: tidying up goes on
            tidied.append(True)

    assert ended("recface x", body) == code and tidied == [True]
    assert capsys.readouterr().err == f"recface x: {SAID}"
    assert {each: signal.getsignal(each) for each in defaults} == defaults


def test_a_sweep_kills_before_a_second_signal_counts():
    assert PATIENCE_SECONDS > GRACE_SECONDS


def test_an_ignored_signal_and_others_handlers_stay_as_they_are():
    before, seen = signal.signal(signal.SIGHUP, signal.SIG_IGN), []
    other = signal.signal(signal.SIGTERM, lambda *_: seen.append(True))
    try:
        assert ended("x", lambda: [os.kill(os.getpid(), n) for n in (signal.SIGHUP, signal.SIGTERM)] and 0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, other)
    assert seen == [True]


def test_a_forked_process_ends_without_a_word(capfd):
    def body():
        if (child := os.fork()) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert ended("x", body) == 143 and capfd.readouterr().err == ""


def test_a_program_in_a_thread_runs_without_handlers():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(ended("x", lambda: 3)))
    thread.start()
    thread.join()
    assert codes == [3]


@pytest.mark.parametrize("ignored", [False, True])
def test_training_ends_by_the_signal_or_ignores_it(tmp_path, ignored):
    """Lightning has a handler of its own, which would leave with exit code 0."""
    import lightning
    import torch

    from recface.cli.program import interruptible
    from recface.variants.trainer import fit_quietly, quiet_trainer

    class Killed(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight, self.steps = torch.nn.Parameter(torch.zeros(1)), 0

        def training_step(self, batch, index):
            self.steps += 1
            if self.steps == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.weight.square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.25)

    module, before = Killed(), signal.getsignal(signal.SIGTERM)
    trainer = quiet_trainer(tmp_path, accelerator="cpu", max_steps=4, logger=False)
    try:
        if ignored:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with interruptible():
            if not ignored:
                with pytest.raises(Interrupted):
                    fit_quietly(trainer, module, torch.utils.data.DataLoader(torch.zeros(8, 1)))
            else:
                fit_quietly(trainer, module, torch.utils.data.DataLoader(torch.zeros(8, 1)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert module.steps == (4 if ignored else 2)
