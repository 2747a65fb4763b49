"""Runs as tasks of Ray.

The plugin hydra-ray-launcher (1.2.2) cannot be installed beside this project's packages, since it needs cloudpickle
below 3, boto3 and Ray's dashboard; and it ends at the first task whose worker died. So this is a launcher of our own.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn

from recface.errors import RecfaceError
from recface.launchers.point import Point, failed, first_line, resources

CARRIED = ("RECFACE_", "WANDB_")
"""Beginnings of environment variables that travel with a run; they stay in memory."""
LOCAL_SETTINGS = ("num_cpus", "num_gpus", "include_dashboard")
"""Settings of a Ray that is started here; a running cluster has its own."""


def run_on_ray(points: Sequence[Point], settings: Mapping[str, Any]) -> Iterator[tuple[int, JobReturn]]:
    """Run the points as Ray tasks, each in a process of its own, as many at a time as there are CPUs and GPUs for.

    Yields index and answer of each, as they end. `settings` are those of configs/hydra/launcher/ray.yaml, resolved.

    Raises:
        RecfaceError: Ray does not start, no cluster answers, or none of its machines is large enough.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no statistics
    import ray

    start(settings["init"])
    try:
        environment = carried(os.environ)
        pending = {}
        for index, point in enumerate(points):
            options: dict[str, Any] = dict(zip(("num_cpus", "num_gpus"), resources(point.config), strict=True))
            options |= {key: item for key, item in settings["remote"].items() if item is not None}
            check_size(options, [node["Resources"] for node in ray.nodes() if node["Alive"]])
            # max_calls: the process ends with the run, and frees PyTorch's state and the GPU's memory.
            task = ray.remote(max_calls=1, max_retries=0, **options)(run_point)
            pending[task.remote(point, environment)] = index
        while pending:
            (done, *_), _ = ray.wait(list(pending), num_returns=1)
            index = pending.pop(done)
            try:
                yield index, ray.get(done)
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None) or error
                text = f"its Ray worker ended: {type(cause).__name__}: {first_line(str(cause))}"
                yield index, failed(points[index], RecfaceError(text))
    finally:
        ray.shutdown()


def start(settings: Mapping[str, Any]) -> None:
    """Join the cluster at an address, or start Ray on this machine.

    Raises:
        RecfaceError: Neither works.
    """
    import ray

    given = {key: item for key, item in settings.items() if item is not None}
    address = given.get("address") or os.environ.get("RAY_ADDRESS")
    if address:
        given = {key: item for key, item in given.items() if key not in LOCAL_SETTINGS}
        check_address(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**given)
    except (ConnectionError, ValueError, RuntimeError, TypeError) as error:
        token = "; a cluster that asks for a token needs RAY_AUTH_MODE=token and its ~/.ray/auth_token here too"
        raise RecfaceError(f"Ray does not start: {first_line(str(error))}{token if address else ''}") from None
    finally:
        if threading.current_thread() is threading.main_thread():  # others cannot set handlers
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there, which would end us without a word


def check_address(address: str, seconds: float = 5.0) -> None:
    """Check that something answers at HOST:PORT; Ray itself would retry for minutes and print pages.

    Raises:
        RecfaceError: Nothing answers.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:  # "auto" and the like are Ray's to understand
        return
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        raise RecfaceError(
            f"no Ray cluster answers at {address} ({error.strerror or error}): start one there with "
            f"`ray start --head --port={port}`, or leave hydra.launcher.init.address out to use this machine alone"
        ) from None


def run_point(point: Point, environment: Mapping[str, str]) -> JobReturn:
    """Run a point in a Ray worker, with these environment variables."""
    threads = str(point.config.trainer.threads)
    os.environ.update({**environment, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads})
    return point()


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that the runs must see on any machine."""
    return {name: item for name, item in environment.items() if name.startswith(CARRIED)}


def check_size(options: Mapping[str, Any], machines: Sequence[Mapping[str, float]]) -> None:
    """Check that a run with num_cpus and num_gpus fits on a machine of these resources; Ray would wait for one forever.

    Raises:
        RecfaceError: It fits on none.
    """
    cpus, gpus = options["num_cpus"], options["num_gpus"]
    if any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        return
    most = [f"{max((machine.get(kind, 0) for machine in machines), default=0):g} {kind}s" for kind in ("CPU", "GPU")]
    raise RecfaceError(
        f"a run asks for {cpus:g} CPUs and {gpus:g} GPUs, and the machines of this Ray cluster have at most "
        f"{' and '.join(most)}: set hydra.launcher.remote.num_cpus and num_gpus, or trainer.threads and trainer"
    )
