"""Lightning callbacks of both stages: progress, metrics, checkpoints, and further views for a logger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from recface.data import Batch
from recface.figures.reconstruction_picture import ROWS, neutral_shape, reconstruction_picture
from recface.files.checkpoints import save_state
from recface.run.logger import RunLogger
from recface.run.team import Team
from recface.tracking import RunFolder


class Follow(lightning.Callback):
    """Writes a line of metrics at the end of every epoch, and the progress as it comes.

    `folder` is where metrics.jsonl grows, `run` the one whose progress is shown, `before` the steps of earlier stages
    and `total` those of all.
    """

    def __init__(self, folder: RunFolder, run: RunFolder, before: int, total: int) -> None:
        self.folder, self.run, self.before, self.total = folder, run, before, total
        self.losses: dict[str, list[Tensor]] = {}

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, *rest: Any) -> None:
        """Update the progress, and keep the losses for their means."""
        for key, value in module.logged.items():
            if key.startswith("loss/"):
                self.losses.setdefault(key, []).append(value)
        if trainer.is_global_zero:
            loss = float(outputs["loss"]) * trainer.accumulate_grad_batches  # by which Lightning divides it
            self.run.progress(self.before + module.step, self.total, phase=f"stage{module.stage}", loss=loss)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write the mean losses of the epoch, whatever else was logged last, and the learning rate."""
        means = {key: torch.stack(values).mean() for key, values in self.losses.items()}
        self.losses = {}
        if trainer.is_global_zero:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            values = {key: float(value) for key, value in (trainer.callback_metrics | module.logged | means).items()}
            self.folder.log_metrics({"stage": module.stage, "step": module.step, "rate": rate} | values)


class Validate(lightning.Callback):
    """Measures the network on the validation people after every epoch, so that a sweep can stop a hopeless run.

    Modes and random state are restored, so training continues unchanged. The first process of the team measures.
    """

    def __init__(self, measure: Callable[[Any], dict[str, float]], team: Team) -> None:
        self.measure, self.team = measure, team

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Measure and log."""
        values = None
        if self.team.leads:
            modes = {part: part.training for part in module.modules()}
            with torch.random.fork_rng(devices=[]):
                values = self.measure(module)
            for part, training in modes.items():
                part.training = training
        values = self.team.agreed(values) or {}
        module.log_dict({f"validation/{key}": value for key, value in values.items()})


class Checkpoint(lightning.Callback):
    """Keeps the state that a killed run resumes from: one plain dict of the last finished epoch, replaced atomically.

    Lightning's own checkpoints restore its loops too, which would start again in the middle of an epoch. Here order and
    augmentation of the photos depend on the step alone, so step and states suffice.
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


PICTURE_EPOCHS = 5


class Details(lightning.Callback):
    """Logs each source's loss terms once an epoch, and a picture of a few fixed photos every few epochs.

    At the end of the stage, or with each picture, the neutral shape of the first photo is logged as a mesh. All come
    from the last step of an epoch; other steps cost nothing.

    Args:
        logger: Receives them.
        sources: Names of the training sources, in the order of the mix.
        photos: (N, 3, S, S) in [0, 1], fixed.
        steps: Of the stage.
        meshes: Whether every picture comes with a mesh.
    """

    def __init__(
        self, logger: RunLogger, sources: Sequence[str], photos: Tensor, steps: int, meshes: bool = False
    ) -> None:
        self.logger, self.sources, self.photos = logger, list(sources), photos
        self.steps, self.meshes = steps, meshes
        self.values: dict[str, float] = {}

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Batch, batch_index: int) -> None:
        """Watch the last step of an epoch, and that of the stage."""
        if trainer.is_last_batch or module.step + 1 == self.steps:
            module.watch = lambda batch, face: self._take(module.source_terms(batch, face))

    def _take(self, found: dict[int, dict[str, float]]) -> None:
        names = {number: f"source/{self.sources[number]}" for number in found}
        self.values = {f"{names[i]}/{name}": value for i, terms in found.items() for name, value in terms.items()}

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *rest: Any) -> None:
        """Log the terms of the watched step."""
        if module.watch is not None:
            module.watch = None
            if trainer.is_global_zero:
                self.logger.log_at(module.step - 1, self.values | {"stage": module.stage})

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Log a picture and a mesh."""
        if trainer.is_global_zero and (trainer.current_epoch % PICTURE_EPOCHS == 0 or module.step >= self.steps):
            caption = "from above: " + ", ".join(ROWS if module.confidence is not None else ROWS[:3] + ROWS[4:])
            self.logger.log_picture(module.step - 1, "validation", reconstruction_picture(module, self.photos), caption)
            if self.meshes or module.step >= self.steps:
                shape = neutral_shape(module, self.photos[0])
                self.logger.log_mesh(module.step - 1, "validation", shape, module.face_model.triangles.cpu().numpy())
