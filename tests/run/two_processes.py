"""Training for tests/run/test_team.py, in a module where another process finds it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from recface.data.workbench import open_workbench
from recface.run.callbacks import Follow
from recface.run.experiment import set_up_torch
from recface.run.stages import fit
from recface.run.team import Team
from recface.settings.compose import compose_config
from recface.variants import build_variant

STEPS = 3
EPSILON = 1e-6
"""Adam divides a gradient by its own size: where that is mere rounding, its usual 1e-8 would make a step of it."""
SLOW = ("trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.threads=1", "optimizer=adamw")
"""A step as exact as float32 has it: Muon orthogonalizes in bfloat16, and large rates amplify the last digits."""
CASES = {
    "sir": ("+experiment=sir", "trainer.validate=true", "loss.tikhonov_albedo=0"),
    "sfm": ("+experiment=sfm", "sfm.scans=0", "trainer.conflict=1", "loss.pixel_every=3"),
    # Without a batch norm, and without statistics of a batch, parts of a batch give the gradient of the whole.
    "accumulated": ("+experiment=baseline", "model.backbone=convnext_atto", "model.shared=0", "model.end=1"),
}


def configuration(case: str, runs: Path, cache: Path, devices: int, accumulate: int = 1) -> dict:
    """The case's configuration at scale smoke on some devices."""
    rates = [f"optimizer.stage{stage}_rate=1e-4" for stage in (1, 2)]
    paths = [f"paths.runs={runs}", f"paths.cache={cache}"]
    shares = ["trainer=ddp", f"trainer.devices={devices}", f"trainer.accumulate={accumulate}", *SLOW, *rates]
    sizes = ["scale=smoke", f"scale.stage2_steps={STEPS}", f"trainer.epoch_steps={STEPS}"]
    return compose_config(*CASES[case], *sizes, *shares, *paths)


def train_all(configs: dict[str, dict], team: Team) -> None:
    """Train stage 2 of each configuration from its first weights; state and losses go to their folders."""
    for case, config in configs.items():
        set_up_torch(config)
        bench = open_workbench(config)
        variant = build_variant(bench, stage=2)
        variant.freeze_trunk_for_perceptual()
        folder = team.folder(Path(config["paths"]["runs"]) / case)
        hook = register_optimizer_step_pre_hook(_keep_rounding_small)
        fit(variant, bench, folder, Follow(folder, folder, 0, STEPS), None, team)
        hook.remove()
        if team.leads:
            torch.save(variant.trained_state(), folder.path / "state.pt")


def _keep_rounding_small(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for group in optimizer.param_groups:
        group["eps"] = EPSILON
