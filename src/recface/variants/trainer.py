"""Shared by every stage's training: states on disk, and a quiet Lightning trainer."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch

from recface.tracking.atomic import replacing

State = dict[str, torch.Tensor]


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a plain dict, loadable with weights_only=True, atomically."""
    with replacing(path) as file:
        torch.save(state, file.name)  # writing into a Python file, an interrupt would surface as a RuntimeError


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote."""
    return torch.load(path, map_location="cpu", weights_only=True)


def quiet_trainer(folder: Path, **settings: Any) -> lightning.Trainer:
    """A Lightning trainer that prints and writes nothing of its own: everything is in the run folder."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return lightning.Trainer(
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def fit_quietly(trainer: lightning.Trainer, module: lightning.LightningModule, data: Any) -> None:
    """Train; Ctrl-C raises KeyboardInterrupt, which Lightning turns into exit(1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loader workers and bars does not apply here
        try:
            trainer.fit(module, data)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
