"""A Lightning trainer that every stage's training shares: it prints and writes nothing of its own."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LambdaCallback


def chosen_precision(settings: Mapping[str, Any]) -> str:
    """The precision of the group trainer for Lightning; auto is bfloat16 wherever the device multiplies it natively.

    That shortens a step by about a third with AVX512-BF16; CPUs without it emulate it at half the speed of float32.
    """
    if settings["precision"] != "auto":
        return str(settings["precision"])
    if settings["accelerator"] != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bf16-mixed" if native else "32-true"


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
    """Train; Ctrl-C raises KeyboardInterrupt, which Lightning turns into exit(1), and SIGTERM does what it did before.

    Lightning would end training at a SIGTERM that is ignored, and, of several processes, wait in its handler for one
    that waits for this one.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before == signal.SIG_IGN or trainer.world_size > 1:
        restore = LambdaCallback(on_train_start=lambda *_: signal.signal(signal.SIGTERM, before))
        trainer.callbacks.append(restore)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loader workers and bars does not apply here
        try:
            trainer.fit(module, data)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
