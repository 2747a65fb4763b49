"""Everything wrong with a sweep file is told at once, with its line, before anything runs."""

import re

import pytest

from recface.errors import RecfaceError
from recface.sweeps.spec import Constant
from recface.sweeps.sweep_mistakes import checked_sweep, is_own, options_of

HEAD = """program: {program}
method: {method}
"""
SIR = """parameters:
  +experiment:
    value: sir
"""


def told(tmp_path, text, *overrides, method="grid", program="src/run.py", monkeypatch=None):
    """Line (None for overrides) and words of each mistake."""
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program=program, method=method) + text)
    with pytest.raises(RecfaceError) as caught:
        checked_sweep(path, overrides)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    parts = re.split(r"(?:^|; )(?=line \d+: |override: )", message.removeprefix(f"{path}: "))
    return [
        (None if part.startswith("override") else int(part.split()[1][:-1]), part.split(": ", 1)[1])
        for part in filter(None, parts)
    ]


@pytest.fixture(autouse=True)
def at_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("methd: grid\n" + SIR, 3, "methd is an unknown key; known are program, method, parameters"),
        (SIR + "run_cap: 0\n", 6, "run_cap must be a whole number >= 1, not 0"),
        (
            SIR + "  seed:\n    vlaue: 1\n",
            7,
            "parameter seed: vlaue is an unknown key; known are distribution",
        ),
        (SIR + "  loss.pixl:\n    value: 1\n", 6, "loss.pixl is no configuration key; did you mean loss.pixel?"),
        (SIR + "  nothing.like.it:\n    value: 1\n", 6, "nothing.like.it is no configuration key: see configs/"),
        (SIR + "  +loss.pixel:\n    value: 1\n", 6, "write loss.pixel, without a plus sign"),
        (SIR + "  loss.pixel:\n    values:\n    - 1\n    - -2\n", 9, "loss.pixel must be a number >= 0, not -2"),
        (SIR + "  loss.pixel:\n    value: much\n", 7, "loss.pixel must be a number >= 0, not 'much'"),
        (SIR + "  seed:\n    values: [0, 0.5]\n", 7, "seed must be a whole number from 0 to 4294967295, not 0.5"),
        (SIR + "  seed:\n    values: [0, -1]\n", 7, "seed must be a whole number from 0 to 4294967295, not -1"),
        (SIR + "  model.confidence:\n    value: 3\n", 7, "model.confidence must be true or false, not 3"),
        (SIR + "  variant:\n    value: sirr\n", 7, "variant must be one of baseline, prototypes, sfm, sir"),
        (SIR + "  scale:\n    value: huge\n", 7, "no scale configuration 'huge'; known are converged, large, paper"),
        (SIR + "  seed:\n    value: 1\n  seed:\n    value: 2\n", 8, "seed is given twice"),
        (SIR + "  optimizer:\n    parameters:\n      name: {value: adamw}\n", 7, "nests, which Hydra cannot take"),
        (SIR + "  loss.pixel:\n    distribution: beta\n", 7, "distribution must be one of constant, categorical"),
        (SIR + "  loss.pixel:\n    distribution: bell\n", 7, "q_normal, log_normal, not 'bell'"),
        (SIR + "  face_model:\n    value: ict\n", 3, "lacks parameter face_model.path"),
        ("parameters:\n  +experiment:\n    values: [sir, sirr]\n", 5, "no experiment 'sirr'; known are baseline"),
        ("parameters:\n  experiment:\n    value: sir\n", 4, "write +experiment, with a plus sign"),
        (
            "parameters:\n  +experiment:\n    values: [baseline, sir]\n  sir.softmax_scale:\n    value: 8\n",
            6,
            "sir.softmax_scale is no key with +experiment=baseline",
        ),
        (
            SIR + "early_terminate:\n  type: median\n  min_iter: 1\nmetric: {name: a/b}\n",
            7,
            "must be 'hyperband'",
        ),
        (
            SIR + "early_terminate:\n  type: hyperband\n  eta: 1\n  s: 1\n  max_iter: 9\nmetric: {name: a/b}\n",
            8,
            "eta must be",
        ),
        (
            SIR + "early_terminate:\n  type: hyperband\nmetric: {name: a/b}\n",
            6,
            "needs min_iter, or max_iter and s",
        ),
        (SIR + "early_terminate: {type: hyperband, min_iter: 1}\n", 1, "metric is missing: early_terminate needs one"),
        (
            SIR + "metric:\n  name: auc\n",
            7,
            "metric.name must be block/metric, such as",
        ),
        (SIR + "metric:\n  name: a/b\n  goal: up\n", 8, "metric.goal must be 'minimize' or 'maximize', not 'up'"),
        (SIR + "  loss.pixel:\n    min: 0.5\n    max: 1.5\n", 6, "method grid needs a list of values"),
        (SIR + "  paths.runs:\n    values: [a, b]\n", 6, "paths.runs has several values, but a sweep has one folder"),
        (SIR + "command:\n- ${program}\n", 6, "command sends no parameters: add ${args_no_hyphens}"),
        (
            SIR + "command:\n- ${program}\n- seed=${seed}\n- ${args}\n",
            8,
            "command holds seed=${seed}, but macros other than ${envvar:NAME} are whole words",
        ),
    ],
)
def test_a_mistake_of_a_grid_has_its_line(tmp_path, text, line, words):
    found = told(tmp_path, text)
    assert len(found) == 1 and found[0][0] == line and words in found[0][1]


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        ("    min: 0.5\n    max: -1.0\n", 9, "parameter loss.pixel: max must be above min, which is 0.5, not -1.0"),
        ("    min: -0.5\n    max: 1.0\n", 8, "loss.pixel must be a number >= 0, not -0.5"),
        (
            "    min: 0.5\n    max: 1e1\n",
            9,
            "YAML takes 1e1 for text: write a dot and a sign",
        ),
        ("    min: 0.5\n", 7, "parameter loss.pixel: max is missing"),
        ("    min: 0.5\n    max: big\n", 9, "max must be a number, not 'big'"),
        ("    min: 0.5\n    max: 1.0\n    mu: 1\n", 10, "parameter loss.pixel: mu is an unknown key"),
        ("    distribution: log_uniform_values\n    min: 0.0\n    max: 1.0\n", 9, "min must be a number > 0, not 0.0"),
        ("    distribution: log_uniform_values\n    min: 1e-3\n    max: 1.0\n", 9, "YAML takes 1e-3 for text"),
        ("    distribution: int_uniform\n    min: 0.5\n    max: 2\n", 9, "min must be a whole number, not 0.5"),
        ("    distribution: q_uniform\n    min: 0\n    max: 2\n    q: 0\n", 11, "q must be a number > 0, not 0"),
        (
            "    values: [1, 2]\n    probabilities: [0.5, 0.6]\n",
            9,
            "must hold one share for each value",
        ),
    ],
)
def test_a_mistake_of_a_distribution_has_its_line(tmp_path, form, line, words):
    text = "run_cap: 3\n" + SIR + "  loss.pixel:\n" + form
    found = told(tmp_path, text, method="random")
    assert (line, words) in [(number, words) for number, said in found if words in said]
    assert len(found) == 1


def test_what_is_drawn_with_fractions_is_no_whole_number(tmp_path):
    text = "run_cap: 3\n" + SIR + "  model.grid:\n    min: 1.0\n    max: 4.0\n"
    assert "drawn with fractions" in told(tmp_path, text, method="random")[0][1]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_search_needs_an_end(tmp_path, method):
    found = told(tmp_path, "metric: {name: validation/geometry_auc}\n" + SIR, method=method)
    assert found == [(2, f"method {method} would never end: add run_cap, the number of points")]


def test_all_mistakes_come_at_once_in_the_files_order(tmp_path):
    text = (
        "methd: x\nparameters:\n  +experiment:\n    values: [sir, a]\n  seed:\n    values: [0, -1]\n"
        "  loss.pixl:\n    value: 1\n  loss.pixel:\n    values: [a, -2]\n"
    )
    found = told(tmp_path, text, "loss.landmark=-1", "scale=no")
    assert [line for line, _ in found] == [None, None, 3, 6, 8, 9, 12, 12]
    assert "loss.landmark must be" in found[0][1] and "no scale configuration 'no'" in found[1][1]


def test_overrides_are_read_as_hydra_reads_them(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program="src/run.py", method="grid") + SIR)
    given = [
        "loss.pixel=1e-5,2",
        "model.confidence=false",
        "model.end=null",
        "seed=3",
        "data.photos=../x",
        "scale=smoke",
    ]
    assert checked_sweep(path, [*given, "+data.sources.mine={kind: manifest, share: 1.0, path: faces.csv}"])
    with pytest.raises(
        RecfaceError, match="override: parameter seed must be a whole number from 0 to 4294967295, not 'x'"
    ):
        checked_sweep(path, ["seed=x"])


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("paths.runs=a,b", "a,b"),
        ("paths.runs='a,b'", "a,b"),
        ("++paths.cache='it\\'s'", "it's"),
        ('data.photos="a b"', "a b"),
        ("model.weights=a,b.pt", "a,b.pt"),
    ],
)
def test_a_path_is_one_value_without_its_quotes(tmp_path, sent, value):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program="src/run.py", method="grid") + SIR)
    form = checked_sweep(path, [sent]).parameters[sent.partition("=")[0]]
    assert form == Constant(distribution="constant", value=value)


def test_a_template_may_hold_the_environment_and_that_of_others_anything(tmp_path):
    path = tmp_path / "s.yaml"
    command = "command: ['${program}', 'paths.runs=${envvar:HOME}/runs', '${args}']\n"
    path.write_text(HEAD.format(program="src/run.py", method="grid") + SIR + command)
    checked_sweep(path)
    path.write_text(HEAD.format(program="train.py", method="grid") + SIR + "command: ['${program}', 'a=${b}']\n")
    checked_sweep(path)


def test_another_program_takes_any_parameter(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program="train.py", method="grid") + "parameters: {anything: {value: -1}}\n")
    assert checked_sweep(path).parameters == {"anything": Constant(distribution="constant", value=-1)}
    assert is_own("src/run.py") and is_own("./src/../src/run.py") and not is_own("train.py")


def test_options_of_a_group():
    assert (
        options_of("scale") == ["converged", "large", "paper", "small", "smoke"]
        and options_of("seed") is None
        and options_of("table") is None
    )


def test_values_that_need_one_another_are_checked_together(tmp_path):
    """A source of photographs needs a path; a parameter beside it gives one."""
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program="src/run.py", method="grid") + SIR)
    parts = ["+data.sources.mine.kind=manifest", "+data.sources.mine.share=0.5,1.0"]
    checked_sweep(path, [*parts, "+data.sources.mine.path=faces.csv"])
    with pytest.raises(RecfaceError, match="sources.mine needs path: a table of photos"):
        checked_sweep(path, parts)
    with pytest.raises(RecfaceError, match="sfm is missing: .experiment=sfm sets it"):
        checked_sweep(path, ["variant=sfm"])


def test_numbers_are_read_as_the_run_reads_them(tmp_path):
    """YAML takes 1e-5 for text, but the run's command line does not."""
    path = tmp_path / "s.yaml"
    path.write_text(HEAD.format(program="src/run.py", method="grid") + SIR + "  loss.pixel:\n    values: [1, 1e-5]\n")
    checked_sweep(path)
    path.write_text(path.read_text().replace("1e-5", "'1,2'"))
    with pytest.raises(RecfaceError, match="line 7: parameter loss.pixel holds several values"):
        checked_sweep(path)
