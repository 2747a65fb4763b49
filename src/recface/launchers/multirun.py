"""A multirun (`recface run -m`), wherever it takes place: each run ends in one line, and failures are counted."""

from __future__ import annotations

import importlib.util
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from recface.errors import RecfaceError
from recface.launchers.point import Point, points_of, reason

PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""Launcher to the package that it needs; the extra `cluster` of pyproject.toml has them all."""
PREFIX = "hydra/launcher="


def check_launcher(arguments: Sequence[str]) -> None:
    """Reject a launcher on the command line that cannot work, or that Hydra would ignore in silence.

    Raises:
        RecfaceError: Its package is not installed, or it was asked for without `-m`.
    """
    for name, package in PACKAGES.items():
        if PREFIX + name not in arguments:
            continue
        if importlib.util.find_spec(package) is None:
            raise RecfaceError(
                f"{PREFIX}{name} needs the package {package}, which is not installed: pip install -e '.[cluster]'"
            )
        if not {"-m", "--multirun"} & set(arguments):
            raise RecfaceError(
                f"{PREFIX}{name} starts several runs: add -m, as in `recface run -m {PREFIX}{name} seed=0,1`"
            )


class PointLauncher(Launcher):
    """Runs all points of a multirun; subclasses decide where.

    Hydra's own launchers report the first failure alone, or stop at it.
    """

    def __init__(self, **_: Any) -> None:
        """Ignore Hydra's settings: launchers read them with the overrides of the runs."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over before `launch`."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all points, and print a line for each as it ends; returns their answers in the order of the overrides.

        Raises:
            RecfaceError: Points failed; all others have been run.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        points = points_of(self.config, self.context, self.task, job_overrides, initial_job_idx)
        answers: dict[int, JobReturn] = {}
        for index, answer in self.answers(points):
            answers[index] = answer
            say(points[index], answer, f"{len(answers)}/{len(points)}")
        count = sum(reason(answer) is not None for answer in answers.values())
        if count:
            raise RecfaceError(f"{count} of {len(points)} runs failed; rerun the command to try them again")
        return [answers[index] for index in range(len(points))]

    @abstractmethod
    def answers(self, points: Sequence[Point]) -> Iterator[tuple[int, JobReturn]]:
        """Run the points; yields index and answer of each, as they end."""


def say(point: Point, answer: JobReturn, count: str) -> None:
    """Print one line about a run that has ended, with its returned number: on stdout, or on stderr if it failed."""
    why = reason(answer)
    if why is not None:
        print(f"{count} failed: {point.name}: {why}", file=sys.stderr, flush=True)
        return
    number = f" ({answer.return_value:.4f})" if isinstance(answer.return_value, float) else ""
    print(f"{count} finished: {point.name}{number}", flush=True)
