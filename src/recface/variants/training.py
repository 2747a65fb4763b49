"""How every variant is trained: weighing terms, optimiser and schedule, and going on where a killed run stopped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor

from recface.data import Batch
from recface.losses import weighted_sum
from recface.networks import Encoders
from recface.variants.conflict import ConflictLog
from recface.variants.optimizer import build_optimizer
from recface.variants.reconstructed import Reconstructed


class Trained(lightning.LightningModule):
    """The training of a network that reconstructs faces; `Reconstruction` has the network.

    Args:
        config: The resolved configuration of the run, plain.
        stage: 1 trains on landmark data alone, 2 on everything.

    Attributes:
        weights: Of the terms by name; the variant sets them.
        first_step: Of this process: where a killed run stopped.
        conflict: Compares gradients, where a study asks for it.
        watch: Sees a step's batch, where one is set.
        encoders: The networks, which the subclass builds.
    """

    encoders: Encoders

    def __init__(self, config: dict[str, Any], stage: int) -> None:
        super().__init__()
        self.config, self.stage = config, stage
        self.weights: dict[str, float] = {}
        self.first_step = 0
        self.resumed: dict[str, Any] | None = None
        self.conflict: ConflictLog | None = None
        self.watch: Callable[[Batch, Reconstructed], None] | None = None

    @property
    def step(self) -> int:
        """Steps of this stage so far, over all processes that worked on it."""
        return self.first_step + self.global_step

    @abstractmethod
    def terms(self, batch: Batch, face: Reconstructed) -> dict[str, Tensor]:
        """Loss terms of a batch by name; `self.weights` holds a weight for each."""

    @abstractmethod
    def reconstruct(self, batch: Batch) -> Reconstructed:
        """Everything that the terms of a batch need."""

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Weigh the terms of a batch; a term that is no number ends the run with its name."""
        face = self.reconstruct(batch)
        terms = self.terms(batch, face)
        if self.watch is not None:
            self.watch(batch, face)
        # Early stage 1 computes no pixel term: only what was computed is weighed.
        weights = {name: self.weights[name] for name in terms}
        if self.conflict is not None:
            shared = (*self.encoders.trunk.parameters(), *self.encoders.shape.parameters())
            self.conflict.look(self.step, terms, weights, shared)
        total, values = weighted_sum(terms, weights, step=self.step)
        self.log_dict({f"loss/{name}": value for name, value in values.items()}, batch_size=len(batch["image"]))
        self.log("loss/total", total.detach(), batch_size=len(batch["image"]), prog_bar=True)
        return total

    @torch.no_grad()
    def source_terms(self, batch: Batch, face: Reconstructed) -> dict[int, dict[str, float]]:
        """Loss terms of each source's samples alone, from what a step has computed; changes nothing.

        Args:
            batch: The batch of a training step.
            face: Its reconstruction.

        Returns:
            Number of the source to term to value, without the terms that its samples carry no label for (those are
            exactly zero).
        """
        training = [module for module in self.modules() if module.training]
        for module in training:  # the centres have taken this batch in already
            module.training = False
        try:
            values = {}
            for source in batch["source"].unique().tolist():
                chosen = batch["source"] == source
                part = {key: value[chosen] for key, value in batch.items()}
                terms = self.terms(part, face.select(chosen))
                values[source] = {name: float(value) for name, value in terms.items() if value != 0}
            return values
        finally:
            for module in training:
                module.training = True

    def configure_optimizers(self) -> dict[str, Any]:
        """The configured optimiser under a one-cycle schedule over the stage's steps."""
        settings, steps = self.config["optimizer"], self.config["scale"][f"stage{self.stage}_steps"]
        rate = settings[f"stage{self.stage}_rate"]
        optimizer = build_optimizer(self, settings, rate)
        total, rise = steps + 1, settings["warmup"]
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=total, pct_start=rise, cycle_momentum=False
        )
        if self.resumed is not None:
            optimizer.load_state_dict(self.resumed["optimizer"])
            cycle.load_state_dict(self.resumed["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *unused: Any, **also_unused: Any) -> None:
        """Clip by the configured norm; Lightning's own clipping refuses the fused optimiser, which bf16 allows."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.config["optimizer"]["clip"])
        self.log("gradient_norm", norm.detach())

    def trained_state(self) -> dict[str, Tensor]:
        """State of all that is trained, without the frozen models; of a face model, what is trained of it."""
        frozen = ("albedo_model.", "frozen_trunk.", "renderer.")
        return {key: value for key, value in self.state_dict().items() if not key.startswith(frozen)}

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint of `recface.experiment.callbacks.Checkpoint`."""
        self.load_state_dict(checkpoint["state"], strict=False)  # it leaves out the frozen models
        self.first_step, self.resumed = checkpoint["step"], checkpoint
