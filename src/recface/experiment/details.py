"""A Lightning callback for what a logger shows and the run folder does without: terms by source, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
from torch import Tensor

from recface.data import Batch
from recface.experiment.logger import RunLogger
from recface.experiment.picture import ROWS, reconstruction_picture
from recface.variants.reconstructed import Reconstructed

PICTURE_EPOCHS = 5


class Details(lightning.Callback):
    """Logs each source's loss terms once an epoch, and a picture of a few fixed photos every few epochs.

    Both are taken from the last step of an epoch; the other steps cost nothing more.

    Args:
        logger: Where they go.
        sources: Names of the training sources, in the order of the mix.
        photos: (N, 3, S, S) in [0, 1], always the same.
        steps: Steps of the stage.
    """

    def __init__(self, logger: RunLogger, sources: Sequence[str], photos: Tensor, steps: int) -> None:
        self.logger, self.sources, self.photos, self.steps = logger, list(sources), photos, steps
        self.values: dict[str, float] = {}

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Batch, batch_index: int) -> None:
        """Watch the last step of an epoch, and that of the stage."""
        if trainer.is_last_batch or module.step + 1 == self.steps:
            module.watch = lambda batch, face: self._take(module, batch, face)

    def _take(self, module: Any, batch: Batch, face: Reconstructed) -> None:
        values = module.source_terms(batch, face)
        self.values = {
            f"source/{self.sources[number]}/{name}": value
            for number, terms in values.items()
            for name, value in terms.items()
        }

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *rest: Any) -> None:
        """Log what was watched."""
        if module.watch is not None:
            module.watch = None
            if trainer.is_global_zero:
                self.logger.log_at(module.step - 1, self.values | {"stage": module.stage})

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Draw."""
        if trainer.is_global_zero and (trainer.current_epoch % PICTURE_EPOCHS == 0 or module.step >= self.steps):
            caption = "from above: " + ", ".join(ROWS if module.confidence is not None else ROWS[:3] + ROWS[4:])
            self.logger.log_picture(module.step - 1, "validation", reconstruction_picture(module, self.photos), caption)
