"""The processes that train one run together, one for each device; the first of them decides, writes and evaluates.

Lightning trains in them (DDP). They are started here and not by Lightning, which would run the whole program again for
each: every process would then ask for the run's lock, and wait for the one that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from recface.errors import RecfaceError
from recface.losses.processes import by_itself
from recface.settings import Config
from recface.settings.run_settings import batch_shares
from recface.tracking import RunFolder

T = TypeVar("T")
HOST = "127.0.0.1"
PATIENCE = timedelta(days=7)
"""How long processes wait for what the first does by itself, such as generating photos."""
GRACE_SECONDS = 5.0
"""How long processes that are told to end may take."""
REASON_SECONDS = 60.0
"""How long a process that has lost another waits for the reason."""


@dataclass(frozen=True)
class Team:
    """The processes of a run as one of them sees them; without an environment it is alone.

    Attributes:
        environment: Says which process this is.
        group: Connects the processes for messages, beside the one that gradients take.
    """

    environment: ClusterEnvironment | None = None
    group: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process is the first, which decides, writes and evaluates."""
        return self.environment is None or self.environment.global_rank() == 0

    def agreed(self, value: T) -> T:
        """The first process's value."""
        if self.environment is None:
            return value
        box = [value]
        distributed.broadcast_object_list(box, group=self.group)
        return box[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first process do what is inside before the others, which then find it done."""
        if not self.leads:
            self.agreed(None)
        with by_itself():
            yield
        if self.leads:
            self.agreed(None)

    def folder(self, path: Any) -> RunFolder:
        """A run folder; one that writes nothing for all but the first process."""
        return RunFolder.open(path) if self.leads else Onlooker(path)

    def trainer_options(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Lightning's devices for the group trainer of a configuration."""
        parts = settings.get("accumulate", 1)
        if self.environment is None:
            return {"devices": 1, "accumulate_grad_batches": parts}
        # Which heads have a gradient changes with the step: without one, a parameter keeps its value, as on one device.
        # Buffers are equal everywhere already; those of people and face models are large.
        strategy = DDPStrategy(
            cluster_environment=self.environment, find_unused_parameters=True, broadcast_buffers=False
        )
        return {
            "devices": settings["devices"],
            "num_nodes": settings.get("num_nodes", 1),
            "strategy": strategy,
            "accumulate_grad_batches": parts,
        }


class Onlooker(RunFolder):
    """A run folder in a process that does not lead: it says where files are, and writes none."""

    @contextmanager
    def lock(self, timeout: float = -1) -> Iterator[None]:
        """The first process holds the lock for all."""
        yield

    @contextmanager
    def running(self, record: Any) -> Iterator[RunFolder]:
        """The first process tells how it ends."""
        yield self

    def stage(self, name: str) -> None:
        """Nothing."""

    def update(self, **fields: Any) -> None:
        """Nothing."""

    def log_metrics(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def progress(self, step: int, total: int, phase: str = "", loss: float | None = None) -> None:
        """Nothing."""


class _Started(LightningEnvironment):
    """One of the processes of this machine that the first has started."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank = rank
        self.set_global_rank(rank)
        self.set_world_size(size)

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self.rank


def placed_outside(config: Config) -> ClusterEnvironment | None:
    """Which process this is, where SLURM or torchrun has started all of a run's; None where nobody has."""
    size = batch_shares(config["trainer"], accumulated=False)
    if size == 1:
        return None
    for kind in (SLURMEnvironment, TorchElasticEnvironment):
        if kind.detect():
            # A job that is queued again resumes by itself; Lightning would do it in another way.
            environment = SLURMEnvironment(auto_requeue=False) if kind is SLURMEnvironment else kind()
            if environment.world_size() == size:
                return environment
    return None


@contextmanager
def assembled(config: Config, assist: Callable[[Config, Team], None], needed: bool = True) -> Iterator[Team]:
    """Lead the processes of a run, which are started unless SLURM or torchrun has done that, and end with the block.

    Args:
        config: The checked configuration.
        assist: What the others do, a function of a module; those that were started outside call it themselves.
        needed: Whether there is anything to do for them.

    Raises:
        RecfaceError: There are not as many devices, or another process ended before its time.
    """
    size = batch_shares(config["trainer"], accumulated=False)
    outside = placed_outside(config)
    if size == 1 or not (needed or outside):
        yield Team()
    elif outside is not None:
        with joined(config, outside) as team:
            team.agreed(needed)
            yield team
    else:
        _require_devices(config)
        store = distributed.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
        others = start_processes(_assist, (config, assist, store.port, size), nprocs=size - 1, join=False)
        assert others is not None  # it is where they are not waited for
        try:
            with _explained(others):
                while store.add("here", 0) < size - 1:
                    others.join(timeout=0.1)
                with joined(config, _Started(0, size), store) as team:
                    yield team
                others.join(timeout=GRACE_SECONDS)
        finally:
            for signal in ("terminate", "kill"):
                for process in others.processes:
                    getattr(process, signal)()
                for process in others.processes:
                    process.join(GRACE_SECONDS)


@contextmanager
def joined(config: Config, environment: ClusterEnvironment, store: Any = None) -> Iterator[Team]:
    """Take part in a run's processes as the one that an environment says; they meet at `store` or its address."""
    where: dict[str, Any] = {"store": store}
    if store is None:
        where = {"init_method": f"tcp://{environment.main_address}:{environment.main_port}"}
    distributed.init_process_group(
        "nccl" if _on_cuda(config) else "gloo",
        rank=environment.global_rank(),
        world_size=environment.world_size(),
        **where,
    )
    try:
        yield Team(environment, distributed.new_group(backend="gloo", timeout=PATIENCE))
    finally:
        distributed.destroy_process_group()


def _assist(number: int, config: Config, assist: Callable[[Config, Team], None], port: int, size: int) -> None:
    """Body of a process that was started here."""
    store = distributed.TCPStore(HOST, port, is_master=False)
    store.add("here", 1)
    with joined(config, _Started(number + 1, size), store) as team:
        assist(config, team)


def _on_cuda(config: Config) -> bool:
    accelerator = config["trainer"]["accelerator"]
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def _require_devices(config: Config) -> None:
    settings = config["trainer"]
    if (nodes := settings.get("num_nodes", 1)) > 1:
        how = "start it with -m hydra/launcher=slurm, or with torchrun on each of them"
        raise RecfaceError(f"trainer.num_nodes: a run on {nodes} machines needs a process for each device: {how}")
    if _on_cuda(config) and (found := torch.cuda.device_count()) < settings["devices"]:
        raise RecfaceError(
            f"trainer.devices: this machine has {found} CUDA devices, not {settings['devices']}; "
            "trainer.accelerator=cpu trains on its processors"
        )


@contextmanager
def _explained(others: ProcessContext) -> Iterator[None]:
    """Turn a lost connection into the reason why another process has ended."""
    try:
        try:
            yield
        except RuntimeError as error:
            if "gloo" in str(error) or isinstance(error, distributed.DistError):  # and no mistake of this process
                others.join(timeout=REASON_SECONDS, grace_period=0)
            raise
    except ProcessExitedException as end:
        how = f"was ended by {end.signal_name}" if end.signal_name else f"ended with code {end.exit_code}"
        raise RecfaceError(f"process {end.error_index + 1} of the run {how}; run the same command again") from None
    except ProcessRaisedException as error:
        reason = str(error).strip().splitlines()[-1]
        raise RecfaceError(f"process {error.error_index + 1} of the run failed: {reason}") from None
