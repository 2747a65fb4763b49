"""Values that a configuration cannot take end in one line that names key, value and range, before anything starts."""

import copy
import subprocess
import sys
from functools import reduce

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.settings.compose import compose_config, known_experiments
from recface.settings.declared import Positive, Settings
from recface.settings.run_settings import RunSettings, check_config, config_mistakes, known_variants

VARIANTS = "baseline, prototypes, sfm, sir, supervised"
BAD = [
    ("seed=a", "seed must be a whole number from 0 to 4294967295, not 'a'"),
    ("seed=-1", "seed must be a whole number from 0 to 4294967295, not -1"),
    ("seed=1.5", "seed must be a whole number from 0 to 4294967295, not 1.5"),
    ("seed=true", "seed must be a whole number from 0 to 4294967295, not True"),
    ("seed=null", "seed must be a whole number from 0 to 4294967295, not None"),
    ("seed=", "seed must be a whole number from 0 to 4294967295, not ''"),
    (
        "variant=sirr",
        f"variant must be one of {VARIANTS}, or package.module:Class, not 'sirr'",
    ),
    ("variant=nowhere.sir:SIR", "variant must be importable: no module 'nowhere.sir'; is its folder in PYTHONPATH?"),
    ("name=3", "name must be text, not 3"),
    ("tables=ablation", "tables must be a list, not 'ablation'"),
    ("paths.runs=3", "paths.runs must be text, not 3"),
    ("data.albedo_modes=0", "data.albedo_modes must be a whole number from 1 to 399, not 0"),
    ("data.augment=-1", "data.augment must be a number from 0 to 5, not -1"),
    ("data.augment=5.01", "data.augment must be a number from 0 to 5, not 5.01"),
    ("data.workers=-1", "data.workers must be a whole number from 0 to 1024, not -1"),
    ("data.workers=1025", "data.workers must be a whole number from 0 to 1024, not 1025"),
    ("data.sources=3", "data.sources must be a mapping of keys to values, not 3"),
    ("data.sources.identity.share=0", "data.sources.identity.share must be a number > 0, not 0"),
    ("data.sources.identity.kind=x", "data.sources.identity.kind must be 'embedded', 'manifest' or 'store', not 'x'"),
    ("data.sources.identity.split=test", "data.sources.identity needs split: identity or landmark, not 'test'"),
    ("+data.sources.identity.framed=true", "data.sources.identity takes framed for kind: manifest alone"),
    ("+data.sources.identity.labels=identity", "data.sources.identity takes labels for kind: store alone"),
    ("+data.sources.identity.shar=1", "data.sources.identity.shar is an unknown key"),
    ("model.grid=0", "model.grid must be a whole number >= 1, not 0"),
    ("model.confidence=3", "model.confidence must be true or false, not 3"),
    ("loss.pixel=-1", "loss.pixel must be a number >= 0, not -1"),
    ("loss.pixel=nan", "loss.pixel must be a number >= 0, not nan"),
    ("loss.pixel=inf", "loss.pixel must be a number >= 0, not inf"),
    ("loss.pixel=much", "loss.pixel must be a number >= 0, not 'much'"),
    ("loss.pixel_from=1.5", "loss.pixel_from must be a number from 0 to 1, not 1.5"),
    ("loss.landmark_mode=l3", "loss.landmark_mode must be 'l1', 'l2' or 'squared', not 'l3'"),
    ("+loss.pixl=1", "loss.pixl is an unknown key"),
    ("optimizer.name=sgd", "optimizer.name must be 'adamw' or 'muon', not 'sgd'"),
    ("optimizer.stage1_rate=0", "optimizer.stage1_rate must be a number > 0 and <= 10, not 0"),
    ("optimizer.stage2_rate=11", "optimizer.stage2_rate must be a number > 0 and <= 10, not 11"),
    ("optimizer.beta2=1", "optimizer.beta2 must be a number >= 0 and < 1, not 1"),
    ("optimizer.warmup=0", "optimizer.warmup must be a number > 0 and <= 1, not 0"),
    ("trainer.threads=abc", "trainer.threads must be a whole number from 1 to 1024, not 'abc'"),
    ("trainer.epoch_steps=0", "trainer.epoch_steps must be a whole number >= 1, not 0"),
    ("trainer.devices=0", "trainer.devices must be a whole number >= 1, not 0"),
    ("trainer.validate=3", "trainer.validate must be true or false, not 3"),
    ("logger.name=tensorboard", "logger.name must be 'none' or 'wandb', not 'tensorboard'"),
    ("scale.batch_size=1", "scale.batch_size must be a whole number from 2 to 100000, not 1"),
    ("scale.batch_size=100001", "scale.batch_size must be a whole number from 2 to 100000, not 100001"),
    ("scale.image_size=7", "scale.image_size must be a whole number from 8 to 1024, not 7"),
    ("scale.image_size=1025", "scale.image_size must be a whole number from 8 to 1024, not 1025"),
    ("scale.batch_size=true", "scale.batch_size must be a whole number from 2 to 100000, not True"),
    ("scale.stage1_steps=0", "scale.stage1_steps must be a whole number >= 1, not 0"),
    ("sfm.scan.source=disk", "sfm.scan.source must be 'model', 'benchmark' or 'folder', not 'disk'"),
    ("sfm.scan.source=[model]", "sfm.scan.source must be 'model', 'benchmark' or 'folder', not ['model']"),
    ("sfm.scan.path=3", "sfm.scan.path must be text, not 3"),
    ("sfm.scan.people=0", "sfm.scan.people must be a whole number >= 1, not 0"),
    ("sfm.scan.people=[5]", "sfm.scan.people must be a whole number >= 1, not [5]"),
    ("sfm.scan.noise_mm=-0.1", "sfm.scan.noise_mm must be a number >= 0, not -0.1"),
    ("sfm.scan.modes=all", "sfm.scan.modes must be a whole number >= 1, not 'all'"),
    ("sfm.scan.expression=guess", "sfm.scan.expression must be 'model' or 'learned', not 'guess'"),
    ("sfm.scan.sphere=maybe", "sfm.scan.sphere must be true or false, not 'maybe'"),
    ("sfm.scan.sphere=1", "sfm.scan.sphere must be true or false, not 1"),
    ("sfm.scan.steps=1e3", "sfm.scan.steps must be a whole number >= 1, not 1000.0"),
    ("sfm.scan.softmax_scale=0", "sfm.scan.softmax_scale must be a number > 0, not 0"),
    ("sfm.scan.rates.basis=0", "sfm.scan.rates.basis must be a number > 0 and <= 10, not 0"),
    ("sfm.scan.rates.latents=1e3", "sfm.scan.rates.latents must be a number > 0 and <= 10, not 1000.0"),
    ("sfm.scan.rates=null", "sfm.scan.rates must be a mapping of keys to values, not None"),
    ("sfm.scan.weights.vertex=-1", "sfm.scan.weights.vertex must be a number >= 0, not -1"),
    ("sfm.scan.weights=2", "sfm.scan.weights must be a mapping of keys to values, not 2"),
    ("sfm.scan=null", "sfm.scan must be a mapping of keys to values, not None"),
    ("sfm.separate=x", "sfm.separate must be 'latents' or 'shapes', not 'x'"),
    ("sfm.radius=0", "sfm.radius must be a number > 0, not 0"),
    ("sfm.center_rate=2", "sfm.center_rate must be a number from 0 to 1, not 2"),
    ("sfm.scans_each_step=2.5", "sfm.scans_each_step must be a whole number >= 1, not 2.5"),
    ("sfm_model.test_people=abc", "sfm_model.test_people must be a whole number >= 1, not 'abc'"),
    ("sfm_model.sizes=10", "sfm_model.sizes must be a list, not 10"),
    ("sfm_model.sizes=[10,0]", "sfm_model.sizes.1 must be a whole number >= 1, not 0"),
    ("sfm_model.sizes=[]", "sfm_model.sizes must hold at least 1 item"),
    ("sfm_model.strengths=[1,x]", "sfm_model.strengths.1 must be a number > 0, not 'x'"),
]
GOOD = [
    "data.augment=5",
    "data.workers=1024",
    "optimizer.stage1_rate=10",
    "scale.batch_size=100000",
    "scale.image_size=8",
    "scale.image_size=1024",
    "loss.pixel=4",
    "trainer.precision=bf16-mixed",
    "trainer.precision=16",
    "data.sources={}",
    "sfm.scan.noise_mm=0",
    "sfm.scan.modes=null",
    "sfm.scan.modes=7",
    "sfm.scan.path=meshes",
    "sfm.separate=shapes",
    "sfm.learn_basis=false",
    "sfm_model.strengths=[1]",
]


@pytest.fixture(scope="module")
def config():
    """Configuration of an SFM run, with the group that measures its scan stage."""
    return compose_config("+experiment=sfm", "+sfm_model=default")


def changed(config, argument):
    """The configuration after an override of the command line, without composing it again."""
    override = OverridesParser.create().parse_override(argument)
    config = copy.deepcopy(config)
    *groups, key = override.key_or_group.split(".")
    reduce(dict.__getitem__, groups, config)[key] = override.value()
    return config


@pytest.mark.parametrize(("argument", "said"), BAD)
def test_a_value_out_of_range_is_named_with_its_range(config, argument, said) -> None:
    with pytest.raises(RecfaceError) as caught:
        check_config(changed(config, argument))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trainer.num_nodes=0"], "trainer.num_nodes must be a whole number >= 1, not 0"),
        (["trainer.accumulate=0.5"], "trainer.accumulate must be a whole number >= 1, not 0.5"),
        (["trainer.accelerator=mps"], "trainer needs accelerator: cpu or gpu on several devices, not 'mps'"),
        (
            ["trainer.num_nodes=5", "trainer.accumulate=3"],
            "scale.batch_size must be a multiple of trainer's devices x num_nodes x accumulate, 30, not 16",
        ),
    ],
)
def test_several_devices_share_a_batch_evenly(arguments, said) -> None:
    check_config(compose_config("scale=smoke", "trainer=ddp", "trainer.devices=4", "trainer.accumulate=2"))
    with pytest.raises(RecfaceError) as caught:
        check_config(compose_config("scale=smoke", "trainer=ddp", *arguments))
    assert str(caught.value) == said


@pytest.mark.parametrize("argument", GOOD)
def test_a_value_in_range_passes(config, argument) -> None:
    check_config(changed(config, argument))


def test_all_mistakes_are_told_at_once(config) -> None:
    wrong = changed(changed(config, "sfm.sphere=-1"), "loss.pixel=-2")
    with pytest.raises(RecfaceError) as caught:
        check_config(wrong)
    assert str(caught.value) == "loss.pixel must be a number >= 0, not -2; sfm.sphere must be a number >= 0, not -1"


@pytest.mark.parametrize("experiment", known_experiments())
def test_every_experiment_is_right_as_composed_and_every_key_is_declared(experiment) -> None:
    assert config_mistakes(compose_config(f"+experiment={experiment}")) == []
    groups = ("face_model=ict", "trainer=gpu", "optimizer=adamw")
    config = compose_config(f"+experiment={experiment}", *groups, missing=True)
    assert config["face_model"]["path"] == "???" and config_mistakes(config) == []
    assert set(config) <= set(RunSettings.model_fields)


def test_the_variant_needs_its_section(config) -> None:
    with pytest.raises(RecfaceError, match=r"^sir is missing: \+experiment=sir sets it$"):
        check_config(changed(config, "variant=sir"))
    prototypes = compose_config("+experiment=prototypes") | {"sir": None}
    with pytest.raises(RecfaceError, match=r"^sir is missing: \+experiment=prototypes sets it$"):
        check_config(prototypes)


class Toy(Settings):
    """A section that somebody else declares."""

    rate: Positive


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"weight": 0.5, "on": True, "kind": "near", "steps": [1, 2], "inner": {"rate": 0}, "none": None}, []),
        ({"weight": -0.5}, [("toy.weight", "must be a number >= 0, not -0.5")]),
        ({"inner": {"rate": float("inf")}}, [("toy.inner.rate", "must be a number >= 0, not inf")]),
        ({"steps": [1, -2]}, [("toy.steps.1", "must be a number >= 0, not -2")]),
        (3, [("toy", "is an unknown key")]),
    ],
)
def test_a_section_that_nobody_declares_holds_numbers_of_at_least_0(config, section, said) -> None:
    assert config_mistakes(config | {"toy": section}) == said


def test_a_further_declaration_is_checked_with_the_rest(config) -> None:
    assert config_mistakes(config | {"toy": {"rate": 0}}, {"toy": Toy}) == [("toy.rate", "must be a number > 0, not 0")]
    assert config_mistakes(config | {"toy": {"rate": 1}}, {"toy": Toy}) == []


def test_variants_are_known_by_their_files() -> None:
    assert ", ".join(known_variants()) == VARIANTS


def test_checks_import_nothing_heavy() -> None:
    code = "import sys, recface.settings.run_settings as s; s.known_variants(); print({'torch'} & {*sys.modules})"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "set()\n")


def test_the_run_program_says_so_and_starts_nothing(tmp_path) -> None:
    command = [sys.executable, str(ROOT / "src" / "run.py"), "+experiment=sfm", "scale=smoke", f"paths.runs={tmp_path}"]
    done = subprocess.run([*command, "sfm.scan.people=abc"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "") and not list(tmp_path.iterdir())
    assert done.stderr.endswith("sfm.scan.people must be a whole number >= 1, not 'abc'\n")
    assert len(done.stderr.splitlines()) == 1
