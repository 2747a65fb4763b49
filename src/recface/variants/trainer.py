"""A Lightning trainer that every stage's training shares: it prints and writes nothing of its own."""

from __future__ import annotations

import logging
import signal
import warnings
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import LambdaCallback


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
    """Train; Ctrl-C raises KeyboardInterrupt, which Lightning turns into exit(1), and an ignored SIGTERM stays so."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:  # Lightning would end training all the same
        ignore = LambdaCallback(on_train_start=lambda *_: signal.signal(signal.SIGTERM, signal.SIG_IGN))
        trainer.callbacks.append(ignore)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loader workers and bars does not apply here
        try:
            trainer.fit(module, data)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
