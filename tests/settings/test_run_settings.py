"""Values of the group sfm that nothing can take end in one line that names the key, before anything is trained."""

import copy
import runpy
import subprocess
import sys
from functools import reduce

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.settings.compose import compose_config, run_program
from recface.settings.run_settings import (
    IMAGES,
    MEASURED,
    SCAN,
    check_config,
    check_measured_settings,
    check_process,
    check_sfm_settings,
)

BAD = [
    ("seed=a", "seed: 'a' is no whole number of at least 0"),
    ("seed=-1", "seed: -1 is no whole number of at least 0"),
    ("seed=1.5", "seed: 1.5 is no whole number of at least 0"),
    ("seed=true", "seed: True is no whole number of at least 0"),
    ("seed=null", "seed: None is no whole number of at least 0"),
    ("seed=", "seed: '' is no whole number of at least 0"),
    ("sfm.scan.source=disk", "sfm.scan.source: 'disk' is none of model, benchmark, folder"),
    ("sfm.scan.source=[model]", "sfm.scan.source: ['model'] is none of model, benchmark, folder"),
    ("sfm.scan.path=3", "sfm.scan.path: 3 is no path, nor null"),
    ("sfm.scan.people=abc", "sfm.scan.people: 'abc' is no whole number of at least 1"),
    ("sfm.scan.people=-3", "sfm.scan.people: -3 is no whole number of at least 1"),
    ("sfm.scan.people=0", "sfm.scan.people: 0 is no whole number of at least 1"),
    ("sfm.scan.people=1.5", "sfm.scan.people: 1.5 is no whole number of at least 1"),
    ("sfm.scan.people=true", "sfm.scan.people: True is no whole number of at least 1"),
    ("sfm.scan.people=null", "sfm.scan.people: None is no whole number of at least 1"),
    ("sfm.scan.people=[5]", "sfm.scan.people: [5] is no whole number of at least 1"),
    ("sfm.scan.noise_mm=x", "sfm.scan.noise_mm: 'x' is no number of at least 0"),
    ("sfm.scan.noise_mm=-0.1", "sfm.scan.noise_mm: -0.1 is no number of at least 0"),
    ("sfm.scan.noise_mm=nan", "sfm.scan.noise_mm: nan is no number of at least 0"),
    ("sfm.scan.noise_mm=inf", "sfm.scan.noise_mm: inf is no number of at least 0"),
    ("sfm.scan.modes=0", "sfm.scan.modes: 0 is no whole number of at least 1, nor null"),
    ("sfm.scan.modes=all", "sfm.scan.modes: 'all' is no whole number of at least 1, nor null"),
    ("sfm.scan.expression=guess", "sfm.scan.expression: 'guess' is none of model, learned"),
    ("sfm.scan.sphere=maybe", "sfm.scan.sphere: 'maybe' is neither true nor false"),
    ("sfm.scan.sphere=1", "sfm.scan.sphere: 1 is neither true nor false"),
    ("sfm.scan.steps=1e3", "sfm.scan.steps: 1000.0 is no whole number of at least 1"),
    ("sfm.scan.batch_size=0", "sfm.scan.batch_size: 0 is no whole number of at least 1"),
    ("sfm.scan.scale=0", "sfm.scan.scale: 0 is no number above 0"),
    ("sfm.scan.rates.basis=fast", "sfm.scan.rates.basis: 'fast' is no number of at least 0"),
    ("sfm.scan.weights.vertex=-1", "sfm.scan.weights.vertex: -1 is no number of at least 0"),
    ("sfm.scan.weights.vertex=true", "sfm.scan.weights.vertex: True is no number of at least 0"),
    ("sfm.scan.weights=2", "sfm.scan.weights: 2 is no group of settings"),
    ("sfm.scan.rates=null", "sfm.scan.rates: None is no group of settings"),
    ("sfm.scan=null", "sfm.scan: None is no group of settings"),
    ("sfm.separate=x", "sfm.separate: 'x' is none of latents, shapes"),
    ("sfm.separation=x", "sfm.separation: 'x' is no number of at least 0"),
    ("sfm.radius=0", "sfm.radius: 0 is no number above 0"),
    ("sfm.learn_basis=often", "sfm.learn_basis: 'often' is neither true nor false"),
    ("sfm.scans_each_step=2.5", "sfm.scans_each_step: 2.5 is no whole number of at least 1"),
    ("sfm.basis_smooth=-1", "sfm.basis_smooth: -1 is no number of at least 0"),
]
UNKNOWN = {"sfm.scan.peple=3": "no configuration key 'sfm.scan.peple': see configs/ or `python src/run.py --cfg job`"}
PROGRAM = ("seed=a", "sfm.scan.people=abc", "sfm.scan=null", "sfm.separate=x", *UNKNOWN)


@pytest.fixture(scope="module")
def scan_program():
    """main() of src/scan_model.py, which would learn nothing."""
    names = runpy.run_path(str(ROOT / "src" / "scan_model.py"))
    for name in ("learn", "evaluate"):
        names["main"].__globals__[name] = lambda config, name=name: f"{name} with seed {config['seed']}"
    return names["main"]


@pytest.fixture(scope="module")
def config():
    """Of a run of SFM, and of the table that measures its first stage."""
    return compose_config("+experiment=sfm", "+sfm_model=default")


def changed(config, argument):
    """The configuration after an override of the command line, without composing it again."""
    override = OverridesParser.create().parse_override(argument)
    config = copy.deepcopy(config)
    *groups, key = override.key_or_group.split(".")
    reduce(dict.__getitem__, groups, config)[key] = override.value()
    return config


@pytest.mark.parametrize(("argument", "said"), BAD)
def test_a_value_that_nothing_can_take_is_named(config, argument, said) -> None:
    with pytest.raises(RecfaceError) as caught:
        check_config(changed(config, argument), ["sfm"])
    assert str(caught.value) == said


@pytest.mark.parametrize("argument", PROGRAM)
def test_the_scan_program_says_so_and_starts_nothing(scan_program, capsys, argument) -> None:
    assert scan_program([argument]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"scan_model.py: {(dict(BAD) | UNKNOWN)[argument]}\n" and printed.out == ""


@pytest.mark.parametrize("argument", PROGRAM)
def test_the_run_program_says_so_and_starts_nothing(monkeypatch, capsys, tmp_path, argument) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "+experiment=sfm", "scale=smoke", f"paths.runs={tmp_path}", argument])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "src" / "run.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.err == f"error: {(dict(BAD) | UNKNOWN)[argument]}\n" and printed.out == ""
    assert end.value.code == 1 and not list(tmp_path.iterdir())


def test_a_process_ends_with_one_line_too(tmp_path) -> None:
    command = [sys.executable, str(ROOT / "src" / "scan_model.py"), "sfm.scan.people=abc", f"paths.runs={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "scan_model.py: sfm.scan.people: 'abc' is no whole number of at least 1\n"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("sfm_model.test_people=abc", "sfm_model.test_people: 'abc' is no whole number of at least 1"),
        ("sfm_model.samples=0", "sfm_model.samples: 0 is no whole number of at least 1"),
        ("sfm_model.sizes=10", "sfm_model.sizes: 10 is no list of whole numbers of at least 1"),
        ("sfm_model.sizes=[10,0]", "sfm_model.sizes: [10, 0] is no list of whole numbers of at least 1"),
        ("sfm_model.sizes=[]", "sfm_model.sizes: [] is no list of whole numbers of at least 1"),
        ("sfm_model.strengths=[1,x]", "sfm_model.strengths: [1, 'x'] is no list of numbers above 0"),
    ],
)
def test_what_the_table_measures_is_checked(config, argument, said) -> None:
    with pytest.raises(RecfaceError) as caught:
        check_measured_settings(changed(config, argument)["sfm_model"])
    assert str(caught.value) == said


def test_the_scan_program_checks_what_the_table_measures(scan_program, capsys) -> None:
    assert scan_program(["evaluate", "sfm_model.samples=0"]) == 1
    assert "sfm_model.samples: 0 is no whole number" in capsys.readouterr().err


def test_every_seed_is_checked_before_the_first_is_used(scan_program, capsys) -> None:
    assert scan_program(["seed=0,one"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and "seed: 'one'" in printed.err
    assert scan_program(["evaluate", "seed=0,2"]) == 0
    assert capsys.readouterr().out == "evaluate with seed 0\nevaluate with seed 2\n"


@pytest.mark.parametrize(
    "argument",
    [
        "sfm.scan.noise_mm=0",
        "sfm.scan.noise_mm=1",
        "sfm.scan.modes=null",
        "sfm.scan.modes=7",
        "sfm.scan.path=meshes",
        "sfm.scan.sphere=false",
        "sfm.scan.source=folder",
        "sfm.scan.weights.vertex=0",
        "sfm.separate=shapes",
        "sfm.learn_basis=false",
        "sfm_model.strengths=[1]",
        "seed=0",
    ],
)
def test_what_can_be_taken_passes(config, argument) -> None:
    good = changed(config, argument)
    check_config(good, ["sfm"])
    check_measured_settings(good["sfm_model"])


def test_every_key_with_a_check_is_a_key_of_the_configuration(config) -> None:
    assert set(SCAN) | {"rates", "weights"} == set(config["sfm"]["scan"])
    assert set(IMAGES) < set(config["sfm"]) and set(MEASURED) == set(config["sfm_model"])
    check_sfm_settings(config["sfm"])
    check_measured_settings(config["sfm_model"])
    check_process(config)


def test_how_a_program_ends(capsys, monkeypatch) -> None:
    monkeypatch.delenv("RECFACE_DEBUG", raising=False)

    def ends(error: BaseException | None) -> tuple[int, str]:
        def body() -> None:
            if error is not None:
                raise error

        return run_program("a.py", body), capsys.readouterr().err

    assert ends(None) == (0, "")
    assert ends(RecfaceError("no file x; give another")) == (1, "a.py: no file x; give another\n")
    assert ends(KeyboardInterrupt()) == (130, "a.py: interrupted: run the same command again to go on\n")
    code, said = ends(ZeroDivisionError("division by zero"))
    assert code == 1 and said == "a.py: division by zero (ZeroDivisionError; RECFACE_DEBUG=1 shows where)\n"
    with pytest.raises(BrokenPipeError):
        ends(BrokenPipeError())
    monkeypatch.setenv("RECFACE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())
