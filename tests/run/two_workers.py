"""Work for two processes without a network, for tests/run/test_team.py; a program that works until it is ended."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
import torch

from recface.cli.program import ended
from recface.losses.processes import by_itself, exchanged_sum, gathered, mean, summed, world_size
from recface.run.team import Team, assembled

CONFIG = {"trainer": {"accelerator": "cpu", "devices": 2}}


def reduce_all(config: dict, team: Team) -> None:
    """Compare sums over two processes, and their gradients, with closed form; then the second process fails."""
    rank = 0 if team.leads else 1
    assert world_size() == 2 and team.agreed(rank) == 0
    marker = Path(config["marker"])
    with team.in_turn():
        assert world_size() == 1 and marker.exists() is not team.leads
        marker.touch()
    own = torch.arange(2.0 + rank, requires_grad=True)  # [0, 1] and [0, 1, 2]: the mean of both means is 1.083
    value = mean(own.square())
    value.backward()
    assert value.item() == pytest.approx(6 / 5)
    torch.testing.assert_close(own.grad, 2 * 2 * own.detach() / 5)  # twice: DDP takes the mean of two processes
    assert gathered(torch.tensor([rank])).tolist() == [0, 1]
    with by_itself():
        assert mean(own).item() == (1 + rank) / 2 and summed(own) is own
    part = torch.ones(1, requires_grad=True)
    ((1 + rank) * exchanged_sum(part)).backward()
    assert part.grad.item() == 3  # what both processes make of it
    if not team.leads:
        raise ValueError("no room left")
    summed(torch.ones(1))


def work(config: dict, team: Team) -> None:
    """Tell the process's id, and exchange numbers until somebody ends it."""
    os.write(sys.stdout.fileno(), f"{os.getpid()}\n".encode())  # at once: both processes write to one pipe
    while True:
        summed(torch.ones(1))
        time.sleep(0.01)


def main() -> None:
    """Two processes that work."""
    with assembled(CONFIG, work) as team:
        work(CONFIG, team)


if __name__ == "__main__":
    sys.exit(ended("two_workers", main))
