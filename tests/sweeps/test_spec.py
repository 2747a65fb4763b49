import pytest
import yaml

from recface.errors import RecfaceError
from recface.sweeps.spec import Sweep, expand, grid_points
from recface.sweeps.sweep_mistakes import checked_sweep

RIGHT = {
    "program": "train.py",
    "method": "grid",
    "parameters": {
        "seed": {"values": [0, 1]},
        "+experiment": {"values": ["sir", "no_kl"]},
        "scale": {"value": "smoke"},
    },
    "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"],
}


def sweep(parameters, **keys):
    return Sweep(**({"name": "s", "program": "src/run.py", "method": "grid", "parameters": parameters} | keys))


def write(folder, content):
    path = folder / "ablation.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_grid_is_in_wandbs_order(tmp_path):
    """Names sorted whatever the file's order, the last fastest: read in the package `sweeps` that W&B runs."""
    points = grid_points(checked_sweep(write(tmp_path, RIGHT)))
    found = [tuple(point.parameters.items()) for point in points]
    assert found == [
        (("+experiment", experiment), ("scale", "smoke"), ("seed", seed))
        for experiment in ("sir", "no_kl")
        for seed in (0, 1)
    ]
    assert [point.name for point in points][:2] == ["experiment=sir,seed=0", "experiment=sir,seed=1"]


def test_equal_values_are_one_point_and_ranges_are_counted():
    spec = sweep({"a": {"values": [2, 1, 2.0, 1, "1"]}, "b": {"min": 1, "max": 3}})
    assert [(p.parameters["a"], p.parameters["b"]) for p in grid_points(spec)] == [
        (a, b) for a in (2, 1, "1") for b in (1, 2, 3)
    ]


def test_run_cap():
    spec = sweep({"a": {"values": [1, 2, 3]}}, run_cap=2)
    assert len(grid_points(spec)) == 2


def test_names_are_fit_for_files():
    spec = sweep({"path": {"values": ["../a b/c", "x"]}})
    assert [p.name for p in grid_points(spec)] == ["path=.._a_b_c", "path=x"]


@pytest.mark.parametrize(
    "spec",
    [
        sweep({"a": {"values": [1]}}, method="random"),
        sweep({"a": {"min": 0.0, "max": 1.0}}),
        sweep({"a": {"values": [1, 2], "probabilities": [0.5, 0.5]}}),
    ],
)
def test_what_is_no_grid_is_refused(spec):
    with pytest.raises(RecfaceError, match="sweep s: "):
        grid_points(spec)


def test_overrides_replace_or_join(tmp_path):
    spec = checked_sweep(write(tmp_path, RIGHT), ["experiment=sir", "seed=3,4", "loss.kl=0.5", "layers=[1,2]"])
    assert spec.parameters["+experiment"].value == "sir"
    assert spec.parameters["seed"].values == ["3", "4"]
    assert spec.parameters["loss.kl"].value == "0.5"
    assert spec.parameters["layers"].value == "[1,2]"
    assert "experiment" not in spec.parameters


@pytest.mark.parametrize("override", ["seed", "--seed=1", "=1"])
def test_wrong_overrides_are_named(tmp_path, override):
    with pytest.raises(RecfaceError, match="must be of the form key=value"):
        checked_sweep(write(tmp_path, RIGHT), [override])


def test_all_mistakes_are_told_at_once_in_one_line(tmp_path):
    wrong = RIGHT | {
        "methd": "grid",
        "method": "gird",
        "run_cap": "ten",
        "metric": {"goal": "up"},
        "parameters": {"a": 1, "b": {"values": []}, "c": {"parameters": {}}, "d": {"vlaue": 1}, "e": {}},
    }
    with pytest.raises(RecfaceError) as caught:
        checked_sweep(write(tmp_path, wrong))
    text = str(caught.value)
    assert "\n" not in text
    for words in (
        "methd is an unknown key",
        "method must be 'grid', 'random' or 'bayes', not 'gird'",
        "run_cap must be a whole number >= 1, not 'ten'",
        "metric.name is missing",
        "metric.goal must be 'minimize' or 'maximize', not 'up'",
        "parameter a must be a mapping such as {value: 1}, not 1",
        "parameter b: values must hold at least 1 item",
        "parameter c: parameters nests",
        "parameter d: vlaue is an unknown key",
        "parameter e needs value, values, or min and max",
    ):
        assert words in text


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_what_is_no_sweep_file_is_named(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(RecfaceError, match=r"s\.yaml: "):
        checked_sweep(path)
    with pytest.raises(RecfaceError, match=r"known are .*s\.yaml"):
        checked_sweep(tmp_path / "t.yaml")


@pytest.mark.parametrize(
    "macro",
    [
        "args",
        "args_no_hyphens",
        "args_no_boolean_flags",
        "args_json",
        "args_append_hydra",
        "args_override_hydra",
        "args_no_equals",
    ],
)
def test_macros_are_wandbs(macro):
    """Against the function of W&B's own agent."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    parameters = {"+experiment": "sir", "loss.kl": 0.001, "flag": True, "off": False, "none": None, "l": [1, 2]}
    expected = create_sweep_command_args({"args": {key: {"value": value} for key, value in parameters.items()}})[macro]
    spec = sweep({}, command=["x", f"${{{macro}}}"])
    assert expand(spec, parameters) == ["x", *expected]


def test_environment_is_filled_in_and_unknown_macros_are_named(monkeypatch):
    monkeypatch.setenv("FOLDER", "/data")
    spec = sweep({}, command=["${program}", "in=${envvar:FOLDER}/x"])
    assert expand(spec, {}) == ["src/run.py", "in=/data/x"]
    with pytest.raises(RecfaceError, match=r"unknown \$\{arg\}"):
        expand(sweep({}, command=["${arg}"]), {})
