"""Shell completion: the candidates, and bash with the script."""

import shutil
import subprocess
import sys

import pytest
from tests.conftest import ROOT

from recface.cli.completion import SCRIPTS, candidates
from recface.cli.program import COMMANDS, main
from recface.metrics.protocols import BENCHMARKS
from recface.settings.compose import known_experiments


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("r", ["reconstruct", "report", "run"]),
        ("--v", ["--version"]),
        ("sweep st", ["status"]),
        ("sweep status sweeps/con", ["sweeps/converged.yaml", "sweeps/convergence.yaml"]),
        ("sweep sweeps/ablation.yaml --w", ["--workers"]),
        ("sweep sweeps/ablation.yaml scale=sm", ["scale=small", "scale=smoke"]),
        ("run --mu", ["--multirun"]),
        ("run --cfg j", ["job"]),
        ("run +exp", ["+experiment="]),
        ("run -m +experiment=sir,no_k", ["+experiment=sir,no_kl"]),
        ("run seed=1 loss.landmark_m", ["loss.landmark_mode="]),
        ("run hydra/launcher=s", ["hydra/launcher=slurm"]),
        ("baselines mean", ["mean_face"]),
        ("baselines exp", ["export"]),
        ("completion z", ["zsh"]),
        ("reconstruct ", []),
        ("tables --runs r", []),
        ("nothing ", []),
    ],
)
def test_candidates(line, expected):
    assert candidates(COMMANDS, line.split(" ")) == expected


def test_names_come_from_the_folders_and_the_registry():
    found = candidates(COMMANDS, ["run", "+experiment="])
    assert found == [f"+experiment={name}" for name in known_experiments()]
    assert candidates(COMMANDS, ["evaluate", "--protocol", ""]) == sorted(BENCHMARKS)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("recface swe", "sweep"),
        ("recface run seed=1 +experiment=no_k", "no_kl"),
        ("recface run +experiment=sir,no_k", "sir,no_kl"),
        ("recface evaluate --protocol lfw-10fold-c", "lfw-10fold-cos/v1"),
        ("recface reconstruct ", ""),
    ],
)
def test_bash_replies(line, expected, tmp_path, capsys):
    """Bash breaks words at `=`, so a reply is what follows it."""
    assert main(["completion", "bash"]) == 0
    program = tmp_path / "recface"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m recface "$@"\n')
    program.chmod(0o755)
    script = f"{capsys.readouterr().out}\ncompopt() {{ :; }}\nCOMP_LINE='{line}' COMP_POINT={len(line)}\n"
    script += f'PATH="{tmp_path}:$PATH" _recface\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_the_scripts_parse(shell, capsys):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    done = subprocess.run([shell, "-n"], input=capsys.readouterr().out, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
