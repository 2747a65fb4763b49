"""`recface run` and its door src/run.py: what Hydra is given for a person's and for an agent's command line."""

import subprocess
import sys

import pytest
from tests.conftest import ROOT

from recface.cli.run_command import hydra_arguments
from recface.settings.compose import compose_config
from recface.settings.overrides import is_resent, normalize_arguments

SWEEP = {"WANDB_SWEEP_ID": "abc"}


def resent(config, *own):
    """A command line as W&B's agent writes it for a resumed run: the sweep's parameters and the whole configuration."""
    kept = {key: value for key, value in config.items() if key not in {text.partition("=")[0] for text in own}}
    return [*own, *(f"{key}={value}" for key, value in kept.items()), "_wandb={'t': {'1': [1]}}"]


def test_a_resumed_sweep_run_is_given_back_its_own_command_line():
    own = ["+experiment=no_kl", "seed=3", "scale=smoke", "loss.pixel=0.25", "face_model=makehuman"]
    sent = resent(compose_config(*own, "logger=wandb", "paths.cache=/another/machine"), *own)
    assert is_resent(sent) and not is_resent(own)
    assert hydra_arguments(sent, SWEEP) == ["logger=wandb", *own]


def test_a_resumed_run_with_a_source_of_ones_own_composes_the_same_configuration():
    own = ["+experiment=sir", "+data.sources.mine={'kind': 'manifest', 'path': 'a b', 'share': 0.1}"]
    config = compose_config(*normalize_arguments(own, {}))
    again = compose_config(*hydra_arguments(resent(config, *own), {}))
    assert again == config and again["data"]["sources"]["mine"] == {"kind": "manifest", "path": "a b", "share": 0.1}


def recface(*arguments, program=("-m", "recface", "run"), **environment):
    """In a process of its own: Hydra sets up logging and a global state."""
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), **environment},
    )


@pytest.mark.parametrize("program", [["src/run.py"], ["-m", "recface", "run"]])
def test_an_agents_command_line_is_taken_by_both_entries(program):
    line = ("--+experiment=sir", "--seed=2", "--data.photos=None", "--cfg", "job")
    done = recface(*line, program=program, **SWEEP)
    assert done.returncode == 0, done.stderr
    assert "name: wandb" in done.stdout and "seed: 2" in done.stdout and "photos: null" in done.stdout


@pytest.mark.parametrize("argument", ["foo=1", "+foo=1", "--foo=1"])
def test_a_key_that_nothing_reads_is_one_line_in_every_form(argument):
    done = recface("+experiment=sir", argument)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "recface run: no configuration key 'foo': see configs/ or `recface run --cfg job`\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hydra-help"], "--experimental-rerun"),
        (["--info", "plugins"], "SlurmLauncher"),
        (["--cfg", "job", "--package=loss", "loss.pixel=0.125"], "pixel: 0.125"),
    ],
)
def test_hydras_own_options_work(arguments, said):
    done = recface(*arguments)
    assert done.returncode == 0 and said in done.stdout, done.stderr


def test_a_value_out_of_range_starts_nothing(tmp_path):
    done = recface("scale=smoke", "seed=-1", f"paths.runs={tmp_path / 'runs'}")
    assert (done.returncode, done.stdout) == (1, "") and list(tmp_path.iterdir()) == []
    assert done.stderr == "recface run: seed must be a whole number from 0 to 4294967295, not -1\n"
