"""What all launchers have in common: every run has its turn, each ends in one line, and a failure fails the whole."""

from __future__ import annotations

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


class PointLauncher(Launcher):
    """Runs all points of a multirun; a subclass says where.

    Hydra's own launchers tell of the first failure alone, or stop at it.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over before `launch`."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all points, and tell how each ended as it ends.

        Returns:
            Their answers, in the order of the overrides.

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
            raise RecfaceError(f"{count} of {len(points)} runs failed; the same command runs them again")
        return [answers[index] for index in range(len(points))]

    @abstractmethod
    def answers(self, points: Sequence[Point]) -> Iterator[tuple[int, JobReturn]]:
        """Run the points; yields index and answer of each, as they end."""


def say(point: Point, answer: JobReturn, count: str) -> None:
    """One line about a run that has ended: on stdout if it ended well, on stderr if not."""
    why = reason(answer)
    if why is None:
        print(f"{count} finished: {point.name}{value(answer)}", flush=True)
    else:
        print(f"{count} failed: {point.name}: {why}", file=sys.stderr, flush=True)


def value(answer: JobReturn) -> str:
    """The number that a run came to, for its line."""
    result: Any = answer.return_value
    return f" ({result:.4f})" if isinstance(result, float) else ""
