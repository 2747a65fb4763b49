"""Launchers of recface.launchers where Hydra looks for them: in the package `hydra_plugins`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from recface.launchers.multirun import PointLauncher
from recface.launchers.point import Point
from recface.launchers.ray_cluster import run_on_ray
from recface.launchers.slurm import run_on_slurm


class HereLauncher(PointLauncher):
    """Runs one after another in this process."""

    def answers(self, points: Sequence[Point]) -> Iterator[tuple[int, JobReturn]]:
        """Run the points."""
        for index, point in enumerate(points):
            yield index, point()


class SlurmLauncher(PointLauncher):
    """Runs as an array of SLURM jobs."""

    def answers(self, points: Sequence[Point]) -> Iterator[tuple[int, JobReturn]]:
        """Run the points."""
        return run_on_slurm(points, settings_of(points))


class RayLauncher(PointLauncher):
    """Runs as tasks of Ray."""

    def answers(self, points: Sequence[Point]) -> Iterator[tuple[int, JobReturn]]:
        """Run the points."""
        return run_on_ray(points, settings_of(points))


def settings_of(points: Sequence[Point]) -> dict[str, Any]:
    """The node `hydra.launcher`, resolved, without its class."""
    settings: Any = OmegaConf.to_container(points[0].config.hydra.launcher, resolve=True)
    return {key: item for key, item in settings.items() if not key.startswith("_")}
