import pytest

from recface.errors import RecfaceError
from recface.settings.compose import (
    ExperimentRow,
    check_overrides,
    compose_config,
    experiment_rows,
    known_experiments,
    quick_config,
)


def test_known_experiments_are_the_files():
    assert {"baseline", "sir", "no_kl", "no_center"} <= set(known_experiments())


def test_rows_of_experiments_say_what_the_composed_configuration_says():
    rows = experiment_rows()
    assert sorted(row.name for row in rows) == known_experiments()
    for row in rows:
        config = compose_config(f"+experiment={row.name}")
        assert row == ExperimentRow(config["name"], config["title"], config["parent"], tuple(config["tables"]))
    names = [row.name for row in rows]
    assert all(row.parent is None or names.index(row.parent) < names.index(row.name) for row in rows)
    shown = {row.title for row in rows if "small" in row.tables}
    assert shown == {"baseline (w/o SIR)", "SIR", "SIR w/o prior", "SIR w/o center", "SFM"}


def test_the_quick_composition_is_that_of_hydra(tmp_path, monkeypatch):
    (tmp_path / "experiment").mkdir()
    own = "# @package _global_\ndefaults:\n  - no_kl\n\nname: own\noptimizer:\n  stage2_rate: 1e-3\n"
    (tmp_path / "experiment" / "own.yaml").write_text(own)
    monkeypatch.setenv("RECFACE_CONFIGS", str(tmp_path))
    for choices in (("+experiment=own",), ("+experiment=sfm_no_images", "scale=smoke"), ("face_model=ict",)):
        assert quick_config(*choices) == compose_config(*choices, missing=True)
    assert quick_config("+experiment=own")["optimizer"]["stage2_rate"] == 0.001


def test_an_unknown_experiment_lists_the_known_ones():
    with pytest.raises(RecfaceError, match="no experiment 'nope': known are .*baseline.*sir"):
        check_overrides(["+experiment=nope"])


@pytest.mark.parametrize("argument", ["+foo=1", "+sir.priorr=2"])
def test_a_key_that_nothing_reads_is_named(argument):
    with pytest.raises(RecfaceError, match="no configuration key"):
        check_overrides(["+experiment=sir", argument])


def test_what_may_be_added():
    check_overrides(["-m", "+experiment=sir,no_kl", "seed=0,1", "+data.sources.mine={kind:manifest}", "++sir.prior=1"])
    with pytest.raises(RecfaceError, match="with a plus sign"):
        check_overrides(["experiment=sir"])
