"""Lightning callbacks: progress and metrics to the run folder, and a checkpoint to go on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch

from recface.experiment.training import save_state
from recface.tracking import RunFolder


class Follow(lightning.Callback):
    """Writes a line of metrics at the end of every epoch, and the progress as it comes.

    Args:
        folder: Where metrics.jsonl grows.
        run: The run whose progress is shown.
        before: Steps of earlier stages.
        total: Steps of all stages.
    """

    def __init__(self, folder: RunFolder, run: RunFolder, before: int, total: int) -> None:
        self.folder, self.run, self.before, self.total = folder, run, before, total

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, *rest: Any) -> None:
        """Tell the progress."""
        if trainer.is_global_zero:
            loss = float(outputs["loss"])
            self.run.progress(self.before + module.step, self.total, phase=f"stage{module.stage}", loss=loss)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write down the last losses of the epoch and the learning rate."""
        if trainer.is_global_zero:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            losses = {key: float(value) for key, value in trainer.callback_metrics.items()}
            self.folder.log_metrics({"stage": module.stage, "step": module.step, "rate": rate} | losses)


class Validate(lightning.Callback):
    """Measures the network on the validation people after every epoch, so that a sweep can stop a hopeless run.

    Training goes on as if nothing had been: modes and the random state are put back.

    Args:
        measure: From the network in training to metrics by key.
    """

    def __init__(self, measure: Callable[[Any], dict[str, float]]) -> None:
        self.measure = measure

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Measure and log; stands before `Follow`, which writes what was logged."""
        modes = {part: part.training for part in module.modules()}
        with torch.random.fork_rng(devices=[]):
            values = self.measure(module)
        for part, training in modes.items():
            part.training = training
        self.log_dict({f"validation/{key}": value for key, value in values.items()})


class Checkpoint(lightning.Callback):
    """Keeps what a killed run needs to go on: one plain dict of the last finished epoch, replaced atomically.

    Lightning's own checkpoints restore its loops too, which begin again in the middle of an epoch; here order and
    augmentation of the photos depend on the step alone, so the step is all there is to restore beside the states.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Save and replace."""
        if trainer.is_global_zero:
            checkpoint = {
                "step": module.step,
                "state": module.trained_state(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            }
            save_state(checkpoint, self.path)
