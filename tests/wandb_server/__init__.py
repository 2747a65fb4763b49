"""A loopback stand-in for a W&B server, for the unmodified `wandb sweep`, `wandb agent` and `wandb.Api`."""

from tests.wandb_server.server import WandbServer

__all__ = ["WandbServer"]
