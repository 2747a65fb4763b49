import string
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some
from tests.conftest import ROOT

from recface.settings.overrides import (
    _QUOTED,
    hydra_value,
    normalize_arguments,
    own_overrides,
    quoted,
    unquoted,
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


PATHS = ["face_model.path", "data.photos", "data.sources.mine.path", "model.weights", "paths.runs", "paths.cache"]
PATHS += ["sfm.scan.path"]
TEXTS = some.text(some.characters(exclude_categories=["C", "Z"], include_characters=" \t"), min_size=1)
TRICKY = some.text(f"{string.punctuation} 01aeé_", min_size=1, max_size=8)


def read_back(*arguments, environment=None):
    """The values that Hydra's own parser reads from the last argument."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(normalize_arguments(arguments, environment or {})[-1])
    parser = OverridesParser.create()
    texts = [f"k={text}" for text in override.sweep_string_iterator()] if override.is_sweep_override() else None
    found = [parser.parse_override(text).value() for text in texts] if texts else [override.value()]
    return [getattr(value, "text", value) for value in found]


@given(some.one_of(TEXTS, TRICKY), some.sampled_from(PATHS), some.sampled_from([{}, SWEEP]))
def test_any_text_is_a_path(text, key, environment):
    assert read_back(f"{key}={quoted(text)}", environment=environment) == [text] == [unquoted(quoted(text))]
    assume(not _QUOTED.fullmatch(text) and text.lower() != "null" and text != "None")
    for sent in (f"{key}={text}", f"--{key}={text}", f"++{key}={text}"):
        assert read_back(sent, environment=environment) == [text]
    again = normalize(*normalize(f"{key}={text}"))
    assert again == normalize(f"{key}={text}")


def test_several_paths_are_separated_by_commas_with_m_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_back("data.photos=a=1,b c") == ["a=1,b c"]
    assert read_back("-m", "data.photos=a=1,b c") == ["a=1", "b c"]
    assert read_back("--multirun", "data.photos='a,b',null") == ["a,b", None]
    assert read_back("-m", "data.photos=a,b", environment=SWEEP) == ["a,b"]  # an agent sends one value
    assert read_back("-m", "data.photos=choice(a,b)") == ["a", "b"]
    (tmp_path / "a,b").mkdir()
    assert read_back("-m", "data.photos=a,b") == ["a,b"]
    assert read_back("-m", "data.photos=" + "a" * 300 + ",b") == ["a" * 300, "b"]


@pytest.mark.parametrize("value", ["null", "None"])
def test_no_path_stays_none(value):
    assert read_back(f"--model.weights={value}", environment=SWEEP) == [None]


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
