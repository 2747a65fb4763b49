"""The wheel: what travels in it, and that the command works from it outside of the clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version

import pytest
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    int(version("setuptools").partition(".")[0]) < 77, reason="building the wheel needs setuptools >= 77"
)
BESIDE = ("configs", "sweeps", "external")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Folder that the wheel is unpacked in, with no clone around it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("src", *BESIDE):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(out / "site")
    return out / "site"


def files(folder, pattern="*"):
    """Relative paths of all files."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file()}


def test_code_and_configurations_travel(wheel):
    assert files(wheel / "recface", "*.py") == files(ROOT / "src" / "recface", "*.py")
    assert files(wheel / "recface" / "share") == {
        f"{name}/{path}" for name in BESIDE for path in files(ROOT / name) if "__pycache__" not in path
    }
    assert files(wheel / "recface" / "run" / "data") == {"ICT_LICENSE.txt", "network.npz"}
    assert (wheel / "recface" / "py.typed").is_file() and (wheel / "hydra_plugins" / "recface_launchers.py").is_file()
    assert list(wheel.glob("recface-*.dist-info/entry_points.txt"))


def test_the_command_works_outside_of_the_clone(wheel, tmp_path):
    def python(*arguments):
        environment = os.environ | {"PYTHONPATH": str(wheel)}
        line = [sys.executable, *arguments]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "usage: recface COMMAND" in python("-m", "recface", "--help")
    assert "+experiment=no_kl" in python("-m", "recface", "--candidates", "run", "+experiment=")
    assert "name: no_kl" in python("-m", "recface", "run", "+experiment=no_kl", "--cfg", "job")
    lines = python("-m", "recface", "sweep", "sweeps/ablation.yaml", "seed=0", "--dry-run").splitlines()
    assert lines and all("-m recface run +experiment=" in line for line in lines)
    code = "from recface.settings.compose import HOME; from recface.tracking import git_state; print(HOME, git_state())"
    told = python("-c", code)
    assert told.startswith(str(wheel / "recface" / "share")) and "'commit': None" in told
    assert list(tmp_path.iterdir()) == []
