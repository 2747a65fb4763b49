"""Training of a stage: what Lightning and a logger are told."""

from __future__ import annotations

import json

import lightning
import pytest
import torch
from lightning.pytorch.loggers.logger import Logger

from recface.data.workbench import open_workbench
from recface.run.callbacks import Follow
from recface.run.stages import fit
from recface.settings.compose import compose_config
from recface.tracking import RunFolder
from recface.variants import build_variant


class Kept(Logger):
    """Keeps what it is given."""

    name, version = "kept", 0

    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows.setdefault(step, {}).update(metrics)

    def log_hyperparams(self, *args, **options):
        pass

    def begin_stage(self, *args):
        pass


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_logger_gets_the_losses_of_its_steps_and_the_log_the_means_of_all(
    tmp_path, cache_dir, benchmark, monkeypatch, accumulate
):
    every = 3  # a quarter of the steps
    config = compose_config(
        "+experiment=sir",
        "scale=smoke",
        "scale.stage2_steps=13",
        "trainer.epoch_steps=13",
        f"+trainer.accumulate={accumulate}",
        f"paths.cache={cache_dir}",
    )
    bench = open_workbench(config)
    module, seen = build_variant(bench, 2), []
    monkeypatch.setattr("recface.run.stages._details", lambda *args: lightning.Callback())
    own = type(module).training_step

    def training_step(self, batch, batch_index):
        total = own(self, batch, batch_index)
        seen.append((self.global_step, dict(self.logged)))
        return total

    monkeypatch.setattr(type(module), "training_step", training_step)
    run, logger = RunFolder.open(tmp_path), Kept()
    fit(module, bench, run, Follow(run, run, 0, 13), logger)
    logged = {step: row["loss/total"] for step, row in logger.rows.items() if "loss/total" in row}
    last = {step: float(losses["loss/total"]) for step, losses in seen}  # of the parts of a step, the last
    assert logged == {step: last[step] for step in range(every - 1, 13, every)}
    (line,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert len(seen) == 13 * accumulate
    for name in seen[0][1]:
        assert line[name] == pytest.approx(torch.stack([losses[name] for _, losses in seen]).mean().item(), rel=1e-6)
    assert line["gradient_norm"] > 0
