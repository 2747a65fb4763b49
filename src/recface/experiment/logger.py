"""The logger beside the run folder: none, or Weights & Biases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.loggers import Logger

from recface.errors import RecfaceError
from recface.experiment.identity import Config
from recface.tracking import RunFolder


@contextmanager
def open_logger(config: Config, folder: RunFolder) -> Iterator[Logger | None]:
    """Open the configured logger, and close it whatever happens.

    Without WANDB_API_KEY the W&B run is kept offline, and one line says so. Tables never depend on it.
    """
    settings = config["logger"]
    if settings["name"] == "none":
        yield None
        return
    if settings["name"] != "wandb":
        raise RecfaceError(f"logger.name: no logger '{settings['name']}'; known are none, wandb")
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    offline = not os.environ.get("WANDB_API_KEY") and os.environ.get("WANDB_MODE") is None
    if offline:
        print("W&B: no WANDB_API_KEY, so this run is kept offline", file=sys.stderr)
    logger = WandbLogger(
        name=f"{config['name']}-seed{config['seed']}",
        save_dir=folder.path,
        offline=offline,
        project=settings["project"],
        entity=settings["entity"],
        group=config["name"],
        config=config,
        tags=[config["variant"], config["scale"]["name"]],
        job_type="stage2",
    )
    try:
        yield logger
    finally:
        wandb.finish()
