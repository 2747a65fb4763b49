import subprocess
import sys

import pytest
from tests.conftest import ROOT

from recface.settings.overrides import (
    hydra_value,
    normalize_arguments,
    own_overrides,
    without_repeats,
)

SWEEP = {"WANDB_SWEEP_ID": "abc"}


def normalize(*arguments):
    return normalize_arguments(arguments, {})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        # the four forms of W&B's templates, with the parameter named as in our sweep files and without the plus sign
        (["--seed=1"], ["seed=1"]),
        (["+seed=1"], ["seed=1"]),
        (["++sir.prior=0"], ["++sir.prior=0"]),
        (["--+experiment=sir"], ["+experiment=sir"]),
        (["++experiment=sir"], ["+experiment=sir"]),
        (["+++experiment=sir"], ["+experiment=sir"]),
        (["--experiment=sir"], ["+experiment=sir"]),
        (["experiment=sir"], ["experiment=sir"]),  # stays a mistake, which check_overrides explains
        # values as Python prints them
        (["data.photos=None", "model.shared=False", "--x=True"], ["data.photos=null", "model.shared=false", "x=true"]),
        (["name=Nonesuch", "seed=0,1"], ["name=Nonesuch", "seed=0,1"]),
        (["loss={'pixel': 1e-05, 'landmark_mode': 'l1'}"], ["loss.pixel=1e-05", "loss.landmark_mode=l1"]),
        (["model={'a': {'b': None, 'c': [1, 'x y', True]}}"], ["model.a.b=null", "model.a.c=[1,x y,true]"]),
        (["a={'b': {}}"], ["a.b={}"]),
        (["++a={'b': 'it\\'s, so'}"], ["++a.b='it\\'s, so'"]),
        (["a={'b': '1', 'c': 'null'}"], ["a.b='1'", "a.c='null'"]),
        # sources of one's own are added; a typo in the name of an existing one is not
        (["+data.sources.mine={kind:manifest}"], ["+data.sources.mine={kind:manifest}"]),
        (["data.sources.typo.share=0"], ["data.sources.typo.share=0"]),
        (["+data.sources.m={'kind': 'manifest'}"], ["++data.sources.m.kind=manifest"]),
        (["data={'sources': {'m': {'share': 0.5}}}"], ["++data.sources.m.share=0.5"]),
        # W&B's notes to itself
        (["_wandb={'cli_version': '0.31.0'}", "wandb_version=1", "seed=1"], ["seed=1"]),
    ],
)
def test_overrides(sent, expected):
    assert normalize(*sent) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "+experiment=sir,no_kl", "seed=0,1"],
        ["--multirun"],
        ["--cfg", "job"],
        ["--cfg=job", "--resolve", "--package=loss"],
        ["--help"],
        ["--info", "defaults"],
        ["--config-dir=x", "--config-name=run"],
        ["hydra.sweep.dir=None", "~logger", "hydra/launcher=ray"],
    ],
)
def test_hydras_own_options_pass_untouched(arguments):
    assert normalize(*arguments) == arguments


def test_an_agents_values_hold_commas_and_its_runs_report():
    sent = ["+experiment=sir", "data.photos=/my data/a,b", "loss.weights=[1, 2]", "data.x={kind:manifest}"]
    expected = ["+experiment=sir", "data.photos='/my data/a,b'", "loss.weights=[1,2]", "data.x={kind:manifest}"]
    assert normalize_arguments(sent, SWEEP) == ["logger=wandb", *expected]
    assert normalize_arguments(["logger=none"], SWEEP) == ["logger=none"]
    assert normalize_arguments(["seed=1"], {"WANDB_SWEEP_ID": ""}) == ["seed=1"]


@pytest.mark.parametrize(
    "value",
    ["a b", "x,y", "it's", "a\\'b", "end\\", "c:\\d", "1", "1e-5", "null", "a=b", "", "~/x", "ü", True, None, 0.1],
)
def test_hydra_reads_a_value_back(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = OverridesParser.create().parse_override(f"key={hydra_value(value)}").value()
    assert getattr(found, "text", found) == value


def test_repeats_are_dropped_and_differences_kept():
    base = {"name": "sir", "loss": {"pixel": 0.5, "mode": None, "landmark": 4.0, "on": True}}
    same = ["name=sir", "loss.pixel=0.5", "++loss.mode=null", "loss.landmark=4", "loss.on=true"]
    other = ["+experiment=sir", "loss.pixel=1", "loss.on=1", "--cfg", "seed=0"]
    assert without_repeats([*same, *other, "loss.pixel=1"], base) == other


def test_the_record_names_no_override_of_the_machine():
    given = ["logger=wandb", "+experiment=sir", "paths.runs=x", "++logger.entity=a", "loggers=1", "seed=0"]
    assert own_overrides(given) == ["+experiment=sir", "loggers=1", "seed=0"]


def test_the_module_imports_nothing_heavy():
    code = "import sys, recface.settings.overrides; print(*{'torch', 'hydra', 'wandb', 'omegaconf'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 0 and done.stdout == "\n"
