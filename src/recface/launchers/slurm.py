"""Runs as jobs of SLURM, through submitit.

The plugin hydra-submitit-launcher (1.2.0, the last one, of 2022) stops collecting results at the first job that SLURM
killed, so that the others are never reported. These lines over submitit replace it, with the same names of settings.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from recface.errors import RecfaceError, one_line
from recface.launchers.point import Point, failed, first_line, resources

POLL_SECONDS = 1.0
GENERAL = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
"""Settings that submitit has for every kind of cluster; the others are SLURM's, and None omits one."""


def parameters(
    settings: Mapping[str, Any], threads: int, cpus: int, gpus: int, name: str, tasks: int = 1, nodes: int = 1
) -> dict[str, Any]:
    """Settings of a job as `submitit.AutoExecutor.update_parameters` takes them.

    `settings` is configs/hydra/launcher/slurm.yaml, resolved, without cluster, folder and max_num_timeout; `cpus` and
    `gpus` are those of a run on one of its machines, requested unless it says otherwise. SLURM starts `tasks` processes
    on each of `nodes` machines, one for each device.
    """
    known = {key: item for key, item in settings.items() if item is not None}
    result: dict[str, Any] = {"name": name, "nodes": nodes, "tasks_per_node": tasks, "cpus_per_task": cpus // tasks}
    result |= {"slurm_srun_args": ["--kill-on-bad-exit=1"]} if tasks * nodes > 1 else {}
    result |= {"gpus_per_node": gpus} if gpus else {}
    result |= {key if key in GENERAL else f"slurm_{key}": item for key, item in known.items()}
    # Before Python starts, since libraries read them as they are loaded.
    exports = [f"export OMP_NUM_THREADS={threads} NUMBA_NUM_THREADS={threads}"]
    return result | {"slurm_setup": exports + list(known.get("setup", []))}


def run_on_slurm(points: Sequence[Point], settings: Mapping[str, Any]) -> Iterator[tuple[int, JobReturn]]:
    """Submit the points as one job array, and yield index and answer of each, as they end.

    Raises:
        RecfaceError: There is no SLURM here, or it refuses the jobs.
        KeyboardInterrupt: The jobs go on; with cluster=local they are stopped.
    """
    jobs = submit(points, settings)
    pending = dict(enumerate(jobs))
    try:
        while pending:
            for index in [index for index, job in pending.items() if job.done()]:
                yield index, answer_of(points[index], pending.pop(index))
            if pending:
                time.sleep(POLL_SECONDS)
    except BaseException:
        left = sorted({job.job_id.split("_")[0] for job in pending.values()})
        if settings["cluster"] == "local":
            for job in pending.values():
                job.cancel(check=False)
        elif left:
            print(f"job {', '.join(left)} continues in SLURM; `scancel {' '.join(left)}` stops it", file=sys.stderr)
        raise


def submit(points: Sequence[Point], settings: Mapping[str, Any]) -> list[Any]:
    """Hand the points to SLURM; one submitit job a point, errors as in `run_on_slurm`."""
    import submitit

    rest = dict(settings)
    cluster, folder, requeues = (rest.pop(key) for key in ("cluster", "folder", "max_num_timeout"))
    if cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise RecfaceError(
            "no sbatch and srun on this machine: start from a login node of the SLURM cluster, or try the same runs "
            "as processes of this machine with hydra.launcher.cluster=local"
        )
    config = points[0].config
    cpus, gpus = resources(config)
    try:
        executor = submitit.AutoExecutor(Path(folder).absolute(), cluster, slurm_max_num_timeout=requeues)
        trainer = config.trainer
        shape = (trainer.devices, trainer.get("num_nodes", 1)) if cluster == "slurm" else (1, 1)
        executor.update_parameters(**parameters(rest, trainer.threads, cpus, gpus, config.hydra.job.name, *shape))
        # The exception repeats sbatch's message.
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():
            return [executor.submit(point) for point in points]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise RecfaceError(f"SLURM refuses the jobs: {last_line(str(error))}") from None
    except (NameError, ValueError) as error:  # submitit's, about a setting
        raise RecfaceError(f"hydra.launcher: {one_line(error, 300)}") from None


def answer_of(point: Point, job: Any) -> JobReturn:
    """The answer of a job that has ended, well or not."""
    error = job.exception()
    if error is None:
        return job.result()
    state = f" as {job.state}" if job.state not in ("FINISHED", "UNKNOWN", "COMPLETED") else ""
    log = job.paths.stderr
    said = last_line(log.read_text(errors="replace")) if log.exists() else "it wrote nothing"
    return failed(point, RecfaceError(f"job {job.job_id} ended{state}: {said} (log: {log})"))


def last_line(text: str) -> str:
    """The last line that is not blank; "" if there is none."""
    return first_line("\n".join(reversed(text.splitlines())))
