"""Fixtures that several rooms use."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# A script's `make test &` passes on that interrupts are ignored; the programs that tests start must listen to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("RECFACE_DATA") or ROOT.parent / "shared" / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that no worker ends on one while the other has nothing left."""
    items.sort(key=lambda item: item.path.parent.name != "wandb_server")


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`subprocess.Popen` of programs that end with the test, also with one that fails."""
    started: list[subprocess.Popen[str]] = []

    def begin(command, **options):
        started.append(subprocess.Popen(list(map(str, command)), text=True, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()  # what leads processes of its own ends them
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """The project's cache: the face model and the smoke benchmark are built once, not once a test."""
    return Path(os.environ.get("RECFACE_CACHE") or ROOT / ".cache")


@pytest.fixture(scope="session")
def face_model(cache_dir):
    """The embedded face model."""
    from recface.face_model import get

    return get("makehuman", cache_dir=cache_dir)


@pytest.fixture(scope="session")
def smoke_config():
    """Resolved configuration of +experiment=sir at scale=smoke."""
    from recface.settings.compose import compose_config

    return compose_config("+experiment=sir", "scale=smoke")


@pytest.fixture(scope="session")
def benchmark(face_model, smoke_config, cache_dir):
    """The embedded benchmark at scale=smoke."""
    from recface.data.benchmark import BenchmarkConfig, get_benchmark

    sizes = {key: value for key, value in smoke_config["scale"].items() if key in BenchmarkConfig.__dataclass_fields__}
    return get_benchmark(face_model, BenchmarkConfig(seed=0, albedo_modes=40, **sizes), cache_dir)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real face model and photographs; tests that need it carry the marker `data`."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data folder is absent ({SHARED}); RECFACE_DATA names another")
    return SHARED
