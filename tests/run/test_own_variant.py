"""A variant of one's own is one module and one experiment, both outside of the project."""

import os
import subprocess
import sys

import pytest
import torch
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.table import build
from recface.run.experiment import run_experiment
from recface.run.identity import run_hash, stage1_config
from recface.settings.compose import CONFIGS, compose_config, known_experiments
from recface.settings.run_settings import config_mistakes

MODULE = '''
from recface.variants.baseline import Baseline


class Toy(Baseline):
    """The baseline's terms and a pull of all shapes to the mean."""

    section = "toy"

    def terms(self, batch, face):
        return super().terms(batch, face) | {"pull": face.coefficients.identity.square().mean()}
'''
EXPERIMENT = """# @package _global_
name: toy
parent: baseline
title: baseline, pulled to the mean
tables: [small]
variant: toy_module:Toy

toy:
  pull: 0.5
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of one's own: a module and configurations."""
    (tmp_path / "toy_module.py").write_text(MODULE)
    experiments = tmp_path / "configs" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "toy.yaml").write_text(EXPERIMENT)
    monkeypatch.setenv("RECFACE_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("toy_module", None)


def settings(own, cache_dir, *overrides):
    return compose_config(*overrides, "scale=smoke", f"paths.runs={own}/runs", f"paths.cache={cache_dir}")


def test_it_runs_shares_stage_1_and_has_its_row(own, cache_dir, benchmark):
    configs = [settings(own, cache_dir, f"+experiment={name}") for name in ("baseline", "toy")]
    assert run_hash(configs[0], stage=1) == run_hash(configs[1], stage=1) and run_hash(configs[0]) != run_hash(
        configs[1]
    )
    trained = []
    for config in configs:
        folder = run_experiment(config)
        (stage1,) = (own / "runs" / "stage1").glob("*/seed=0/run.json")
        trained.append(stage1.read_bytes())
    assert trained[0] == trained[1]  # not trained again
    assert '"loss/pull"' in (folder.path / "metrics.jsonl").read_text()
    assert torch.load(folder.path / "checkpoints" / "final.pt", weights_only=True)

    assert "toy" in [row.experiment for row in read_spec(CONFIGS / "table" / "small.yaml").rows]
    small = own / "small.yaml"
    small.write_text(
        (CONFIGS / "table" / "small.yaml")
        .read_text()
        .replace("scale.name: small, scale.stage1_steps: 1000", "scale.name: smoke")
    )
    table = build(read_spec(small), find_records(own / "runs", own / "none"))
    (row,) = [row for row in table.spec.rows if row.experiment == "toy"]
    assert (row.title, row.parent) == ("baseline, pulled to the mean", "baseline")
    cell = table.blocks[0].cells["toy", "shape_error_mm"]
    assert cell.mean == pytest.approx(folder.record.metrics["benchmark"]["shape_error_mm"])


def test_it_is_checked_before_it_starts(own, cache_dir):
    assert "toy" in known_experiments()
    assert config_mistakes(compose_config("+experiment=toy")) == []
    with pytest.raises(RecfaceError, match=r"^toy.pull must be a number >= 0, not -1$"):
        run_experiment(settings(own, cache_dir, "+experiment=toy", "toy.pull=-1"))
    with pytest.raises(RecfaceError, match="variant must be importable: no module 'toy_modul'"):
        run_experiment(settings(own, cache_dir, "+experiment=toy", "variant=toy_modul:Toy"))
    with pytest.raises(RecfaceError, match="variant: toy_module:To must hold one class derived from Reconstruction"):
        run_experiment(settings(own, cache_dir, "+experiment=toy", "variant=toy_module:To"))


def test_the_command_finds_it(own):
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{own}"}
    command = [sys.executable, "-m", "recface", "run", "+experiment=toy", "toy.pull=-1", f"paths.runs={own}/runs"]
    done = subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "recface run: toy.pull must be a number >= 0, not -1\n")
    assert not (own / "runs").exists()


def test_a_term_without_a_weight_is_named(own, cache_dir, benchmark):
    config = settings(own, cache_dir, "+experiment=toy")
    config["toy"] = {"pul": 0.5}
    with pytest.raises(RecfaceError, match="loss term 'pull' has no weight"):
        run_experiment(config)


def leaves(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changed(config, key):
    first, _, rest = key.partition(".")
    return {**config, first: changed(config[first], rest) if rest else "changed"}


@pytest.mark.parametrize("experiment", ["baseline", "sfm"])
def test_stage_1_is_given_just_what_its_hash_is_of(experiment):
    config = compose_config(f"+experiment={experiment}", "+data.sources.mine={kind:manifest,path:x,share:0.1}")
    given, digest = set(leaves(stage1_config(config))), run_hash(config, stage=1)
    hashed = {key for key in leaves(config) if run_hash(changed(config, key), stage=1) != digest}
    paths = {"face_model.path", "data.sources.mine.path"}  # the files' content stands for them: tests/run/test_identity
    assert hashed - paths == given - paths
    assert {"loss.pixel", "data.sources.mine.share", "scale.stage1_steps"} <= given
    assert not {"variant", "seed", "scale.stage2_steps", "optimizer.stage2_rate", "trainer.conflict"} & given
