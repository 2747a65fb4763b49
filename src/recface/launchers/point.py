"""One run of a multirun, in a form that can be sent to other processes and machines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from recface.errors import RecfaceError

GPU_ACCELERATORS = ("gpu", "cuda")


@dataclass(frozen=True)
class Point:
    """One run; calling it runs it in this process."""

    name: str  # its overrides, such as "+experiment=sir seed=0"
    config: DictConfig  # with Hydra's own node
    context: HydraContext  # Hydra's configuration loader and callbacks
    task: TaskFunction  # the entry point's main function
    singletons: Any  # Hydra's state, to be restored in another process
    folder: str  # where relative paths start

    def __call__(self) -> JobReturn:
        """Run it. Errors are part of the answer, so that they arrive from any machine."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            place = f"machine {socket.gethostname()} cannot enter {self.folder} ({error.strerror})"
            return failed(self, RecfaceError(f"{place}: start in a folder that all machines share under the same path"))
        try:
            Singleton.set_state(self.singletons)
            setup_globals()
            HydraConfig.instance().set_config(self.config)
            return run_job(
                hydra_context=self.context,
                task_function=self.task,
                config=self.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Exception as error:
            return failed(self, error)

    def checkpoint(self) -> Any:
        """The job that submitit queues again when SLURM's time limit is met: the same run, which resumes by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def points_of(
    config: DictConfig, context: HydraContext, task: TaskFunction, overrides: Sequence[Sequence[str]], first: int
) -> list[Point]:
    """The runs of a multirun, numbered from `first` on, by the overrides of each."""
    points = []
    for number, given in enumerate(overrides, first):
        one = context.config_loader.load_sweep_config(config, list(given))
        with open_dict(one):
            one.hydra.job.id = one.hydra.job.num = number
        name = " ".join(filter_overrides(given))
        points.append(Point(name, one, context, task, Singleton.get_state(), os.getcwd()))
    return points


def failed(point: Point, error: Exception) -> JobReturn:
    """The answer of a run that has none of its own."""
    overrides = list(point.config.hydra.overrides.task)
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)


def reason(answer: JobReturn) -> str | None:
    """Why a run failed, in one line; None if it did not."""
    if answer.status is JobStatus.COMPLETED:
        return None
    error = answer._return_value  # Hydra's public attribute would raise it
    name = "" if isinstance(error, RecfaceError) else f"{type(error).__name__}: "
    return name + first_line(str(error))


def first_line(text: str) -> str:
    """The first line that is not blank; "" if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def resources(config: Mapping[str, Any]) -> tuple[int, int]:
    """CPUs and GPUs of a machine that a run uses: threads and loader workers of its processes, and their GPUs."""
    trainer, data = config["trainer"], config.get("data", {})
    devices = trainer["devices"]
    gpus = devices if trainer["accelerator"] in GPU_ACCELERATORS else 0
    return devices * (trainer["threads"] + data.get("workers", 0)), gpus
