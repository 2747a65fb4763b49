"""Sweep files that grow, or that no agent could run: refused at once, in one line, with the line in the file."""

import re
import resource
import subprocess
import sys
import time

import pytest
import yaml
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.sweeps.spec import dry_run
from recface.sweeps.sweep_mistakes import checked_sweep

HEAD = "program: src/run.py\nmethod: grid\nparameters:\n"
TAIL = "  +experiment: {value: sir}\n"
COMMAND = TAIL + "command: [python, '${program}',\n  '%s']\n"


def doubling(first, form, levels=12):
    """Lines that each hold the one before nine times."""
    return first + "".join(f"n{i}: &n{i} {form.format(','.join([f'*n{i - 1}'] * 9), i)}\n" for i in range(1, levels))


HOSTILE = {
    "laughs": (doubling("n0: &n0 [x]\n", "[{}]") + HEAD + TAIL, 1, "values, aliases written out"),
    "laughs in a key": (doubling("n0: &n0 [x]\n", "[{}]", 5) + "? *n4\n: 1\n" + HEAD + TAIL, 5, "key must be a word"),
    "merges": (HEAD + TAIL + doubling("n0: &n0 {k: 1}\n", "{{<<: [{}], k{}: 1}}"), 5, "values, aliases written out"),
    "holds itself": ("x: &a [*a]\n" + HEAD + TAIL, 1, "an alias must not hold itself"),
    "deep": ("[" * 20_000, 1, "more than 50 levels of nesting"),
    "deep blocks": ("".join(f"{' ' * i}a:\n" for i in range(400)), 51, "more than 50 levels of nesting"),
    "digits": (HEAD + TAIL + f"  seed: {{values: [{'9' * 5000}]}}\n", 5, "a number of 5,000 digits"),
    "range": (HEAD + TAIL + "  seed: {min: 0, max: 3000000000}\n", 5, "asks for 3,000,000,001 points"),
    "product": (
        HEAD + "".join(f"  loss.{name}: {{values: {list(range(900))}}}\n" for name in ("pixel", "landmark")),
        4,
        "asks for 810,000 points, more than 10,000",
    ),
    "capped": ("run_cap: 99999999\n" + HEAD.replace("grid", "random") + TAIL, 1, "run_cap asks for 99,999,999 points"),
    "date": (HEAD + TAIL + "  seed: {value: 2026-02-30}\n", 5, "day is out of range for month"),
    "tab": (HEAD + TAIL + "\tseed: {value: 1}\n", 5, "cannot start any token"),
    "latin-1": ((HEAD + "# Gr\xf6\xdfe\n" + TAIL).encode("latin-1"), 4, "it is not in UTF-8"),
    "no character": (HEAD + '  "+\\0": {value: 1}\n', 4, "is no configuration key"),
    "no booleans": (HEAD + COMMAND % "${args_no_boolean_flags}", 6, "cannot read ${args_no_boolean_flags}: use ${args"),
    "JSON": (HEAD + COMMAND % "${args_json}", 6, "src/run.py cannot read ${args_json}"),
    "no equals": (HEAD + COMMAND % "${args_no_equals}", 6, "src/run.py cannot read ${args_no_equals}"),
    "unknown macro": (HEAD + COMMAND % "${argz}", 6, "command holds unknown ${argz}"),
}


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def write(folder, text):
    path = folder / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_at_once_with_its_line(tmp_path, name):
    text, line, words = HOSTILE[name]
    path, begin = write(tmp_path, text), time.process_time()
    with pytest.raises(RecfaceError) as caught:
        checked_sweep(path)
    said = str(caught.value)
    assert time.process_time() - begin < 1 and "\n" not in said and len(said) < 600
    assert re.match(rf"{re.escape(str(path))}: (not a readable YAML file \()?line {line}: ", said) and words in said


def test_laughs_take_little_memory(tmp_path):
    path = write(tmp_path, HOSTILE["laughs"][0])
    command = [sys.executable, "src/sweep.py", str(path), "--dry-run"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (200_000_000, 200_000_000))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1 and done.stderr.startswith(f"recface sweep: {path}: line 1: ")


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("seed: {values: [010, 9]}", ["seed=8", "seed=9"]),  # YAML 1.1, as W&B reads it
        ("scale.stage1_steps: {values: [1_000, 4]}", ["scale.stage1_steps=1000", "scale.stage1_steps=4"]),
        ("model.end: {values: [None, layer2]}", ["model.end=None", "model.end=layer2"]),
        ("model.end: {values: [null, layer2]}", ["model.end=None", "model.end=layer2"]),
        ("trainer.validate: {values: [yes, 'false']}", ["trainer.validate=True", "trainer.validate=false"]),
        ("loss.pixel: {values: [1e-3, 1.0e-3]}\r", ["loss.pixel=1e-3", "loss.pixel=0.001"]),
        ("data.photos: {values: ['x,y', 'a=b', José]}", ["data.photos=x,y", "data.photos=a=b", "'data.photos=José'"]),
        ("data.photos: {value: 'it''s [a] {b}'}", ["'data.photos=it'\"'\"'s [a] {b}'"]),
        ("face_model.path: {value: a/seed=0/sfm.npz}", ["face_model.path=a/seed=0/sfm.npz"]),
    ],
)
def test_what_an_agent_runs_is_what_the_dry_run_prints(tmp_path, parameter, expected):
    from recface.cli.run_command import hydra_arguments
    from recface.settings.compose import compose_config

    command = "command: ['${program}', '${args_no_hyphens}']\n"
    lines = list(dry_run(checked_sweep(write(tmp_path, f"{HEAD}  {parameter}\n{command}"))))
    assert lines == [f"src/run.py {text}" for text in expected]
    values = yaml.safe_load(parameter)
    key, form = next(iter(values.items()))
    for value in form.get("values", [form.get("value")]):
        for sent in (f"{key}={value}", f"--{key}={value}", f"+{key}={value}", f"++{key}={value}"):
            for environment in ({}, {"WANDB_SWEEP_ID": "a"}):
                found = compose_config(*hydra_arguments([sent], environment))
                for part in key.split("."):
                    found = found[part]
                words = {"None": None, "false": False, "1e-3": 0.001}
                assert found == (words.get(value, value) if isinstance(value, str) else value)


def test_another_program_takes_every_macro(tmp_path):
    text = HEAD.replace("src/run.py", "train.py") + "  x: {value: false}\ncommand: ['${args_json}', '${%s}']\n"
    assert list(dry_run(checked_sweep(write(tmp_path, text % "args_no_boolean_flags")))) == ["'{\"x\": false}'"]


def test_choices_given_a_thousand_times_are_looked_at_once(tmp_path):
    text = "".join(
        f"  {group}: {{values: {[name] * 1000}}}\n" for group, name in (("scale", "smoke"), ("model", "resnet10t"))
    )
    path = write(tmp_path, "run_cap: 3\n" + HEAD.replace("grid", "random") + text)
    begin = time.process_time()
    assert checked_sweep(path).run_cap == 3 and time.process_time() - begin < 5
