"""`recface doctor`: what this machine has, what is missing, and the next step for each."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recface.cli.declaration import command
from recface.errors import RecfaceError

LEAST_DISK_GB, LEAST_MEMORY_GB = 10, 4
PACKAGES = {
    "av": "frames of videos: pip install 'recface[photos]'",
    "dlib": "68 landmarks by a detector: pip install 'recface[prepare]'",
    "eos": "the baseline eos: pip install 'recface[eos]'",
    "facenet_pytorch": "five landmarks by a detector: pip install 'recface[prepare]'",
    "h5py": "Basel face models of 2017 and 2019: pip install 'recface[bfm]'",
    "ray": "the launcher ray: pip install 'recface[cluster]'",
    "submitit": "the launcher slurm: pip install 'recface[cluster]'",
}
"""Packages that only some commands need, by module, with what for and how they are installed."""
DEPTH = 3
"""Levels of RECFACE_DATA that are searched: beside face models there may lie millions of photos."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was looked at.
        value: What was found.
        step: What to do next; empty where all is well.
        fatal: Whether nothing runs before that step.
    """

    name: str
    value: str
    step: str = ""
    fatal: bool = False


@command("doctor", overrides="configuration keys as of `recface run`, whose files and devices are looked at")
def doctor(options: argparse.Namespace) -> int:
    """Tell what this machine has and what is missing, with the next step for each.

    Exits with 1 where nothing would run before a step is taken.
    """
    found = []
    for check in (python, torch_and_devices, renderer, optional_packages, tracking, room, face_models):
        found += list(_guarded(check))
    found += list(configured(options.overrides))
    width = max(len(finding.name) for finding in found)
    for finding in found:
        mark = "ok" if not finding.step else "FIX" if finding.fatal else "-"
        step = f": {finding.step}" if finding.step else ""
        print(f"{mark:<4}{finding.name:<{width}}  {finding.value}{step}")
    return int(any(finding.fatal for finding in found))


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; what breaks the check is a finding itself, since others are wanted too."""
    try:
        yield from check()
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(check.__name__.replace("_", " "), text, "run `make setup` again", fatal=True)


def python() -> Iterator[Finding]:
    """The interpreter and the package."""
    from importlib.metadata import version

    supported = (3, 11) <= sys.version_info < (3, 14)
    step = "" if supported else "make a venv of Python 3.11, 3.12 or 3.13"
    yield Finding("Python", sys.version.split()[0], step, fatal=not supported)
    yield Finding("recface", version("recface"))


def torch_and_devices() -> Iterator[Finding]:
    """PyTorch, processors and CUDA devices, with the precision that `trainer.precision=auto` would choose."""
    import torch

    from recface.variants.trainer import chosen_precision

    yield Finding("PyTorch", torch.__version__)
    precision = chosen_precision({"accelerator": "cpu", "precision": "auto"})
    yield Finding("CPU", f"{os.cpu_count()} threads, trains in {precision}")
    if not torch.cuda.is_available():
        yield Finding("CUDA", "no device", "scale=paper needs one; the embedded benchmark runs without")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f"CUDA device {index}", f"{device.name}, {device.total_memory / 1e9:.0f} GB: trainer=gpu")
    if torch.cuda.device_count() > 1:
        yield Finding("several devices", f"trainer=ddp trainer.devices={torch.cuda.device_count()}")


def renderer() -> Iterator[Finding]:
    """Numba, which rasterizes on CPUs, and PyTorch3D, which does on CUDA and is the reference of tests."""
    from importlib.metadata import version

    import numba

    yield Finding("Numba", numba.__version__)
    import pytorch3d.renderer  # noqa: F401  # a build for another PyTorch fails here, with a message of its own

    yield Finding("PyTorch3D", version("easypytorch3d"))


def optional_packages() -> Iterator[Finding]:
    """Packages that only some commands need."""
    from importlib.util import find_spec

    for module, purpose in PACKAGES.items():
        there = find_spec(module) is not None
        yield Finding(module, "installed" if there else "missing", "" if there else purpose)


def tracking() -> Iterator[Finding]:
    """W&B: a key of the environment or of `wandb login`."""
    from netrc import NetrcParseError, netrc

    try:
        hosts = netrc().hosts
    except (OSError, NetrcParseError):
        hosts = {}
    there = bool(os.environ.get("WANDB_API_KEY")) or any("wandb" in host for host in hosts)
    step = "" if there else "`wandb login`, or set WANDB_API_KEY; runs track into their folders without"
    yield Finding("W&B", "logged in" if there else "no key", step)


def room() -> Iterator[Finding]:
    """Free disk and memory."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    step = "" if free >= LEAST_DISK_GB else f"a cache and a few runs take {LEAST_DISK_GB} GB"
    yield Finding("disk", f"{free:.0f} GB free", step)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
    step = "" if memory >= LEAST_MEMORY_GB else f"a run takes {LEAST_MEMORY_GB} GB: end other programs"
    yield Finding("memory", f"{memory:.0f} GB free", step)


def face_models() -> Iterator[Finding]:
    """Face models that are not shipped, under RECFACE_DATA, and where to ask for those that are missing."""
    from recface.face_model import ict
    from recface.face_model.builders import BUILDERS, builder_of
    from recface.face_model.official import Official

    root = os.environ.get("RECFACE_DATA")
    builders = {name: builder_of(name) for name in BUILDERS}
    wanted = {name: (made.main, made.ask) for name, made in builders.items() if isinstance(made, Official)}
    wanted["ict"] = ((ict.FILE, ict.NEUTRAL), "github.com/ICT-VGL/ICT-FaceKit")
    for name, (files, site) in wanted.items():
        patterns = [f"{'*/' * depth}{file}" for file in files for depth in range(DEPTH)]
        found = (path for pattern in patterns for path in sorted(Path(root).glob(pattern))) if root else iter(())
        if there := next(found, None):
            yield Finding(name, f"face_model={name} face_model.path={there}")
        else:
            yield Finding(name, f"no {' or '.join(files)} under RECFACE_DATA", f"ask at {site}, then set RECFACE_DATA")


def configured(overrides: list[str]) -> Iterator[Finding]:
    """What a configuration names: that it is right, and that its files are there."""
    from recface.settings.compose import check_overrides, compose_config
    from recface.settings.run_settings import check_config

    try:
        check_overrides(overrides)
        config: dict[str, Any] = compose_config(*overrides)
        check_config(config)
    except RecfaceError as error:
        yield Finding("configuration", "wrong", str(error), fatal=True)
        return
    yield Finding("configuration", "right")
    for key in ("face_model.path", "data.photos"):
        section, name = key.split(".")
        path = config[section].get(name)
        if path is not None and not Path(path).exists():
            yield Finding(key, f"{path} is missing", "give the place where it lies", fatal=True)
    for name, source in config["data"]["sources"].items():
        path = source.get("path")
        if path is not None and not Path(path).exists():
            yield Finding(f"data.sources.{name}", f"{path} is missing", "`recface prepare` writes it", fatal=True)
