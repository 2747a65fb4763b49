"""What the command lines import before they need it, and how they take a reader that leaves."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "lightning", "wandb", "pandas", "optuna", "matplotlib", "scipy", "sklearn")
SHOW = """
import json, runpy, sys
sys.argv = {argv!r}
sys.path.insert(0, "src")
try:
    runpy.run_path({argv!r}[0], run_name="__main__")
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in {heavy!r} if name in sys.modules]]))
"""


@pytest.mark.parametrize(
    "argv",
    [
        ["src/run.py", "--help"],
        ["src/evaluate.py", "--help"],
        ["src/evaluate.py", "--list"],
        ["src/sweep.py", "--help"],
        ["src/reconstruct.py", "--help"],
        ["src/external.py", "--help"],
        ["src/peers.py", "--help"],
        ["src/scan_model.py", "--help"],
        ["src/sweep.py", "sweeps/ablation.yaml", "--dry-run"],
        ["src/sweep.py", "sweeps/search.yaml", "--dry-run"],
        ["src/sweep.py", "sweeps/ablation.yaml", "loss.pixl=1"],
    ],
)
def test_nothing_heavy_is_imported_to_answer_at_once(argv):
    script = SHOW.format(argv=argv, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    code, imported = json.loads(done.stdout.splitlines()[-1])
    assert imported == [] and (code or 0) == (1 if "loss.pixl=1" in argv else 0), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["src/run.py", "--help"],
        ["src/sweep.py", "sweeps/ablation.yaml", "--dry-run"],
        ["src/tables.py", "--runs", "none", "--results", "{tmp}"],
        ["src/evaluate.py", "--list"],
    ],
)
def test_a_reader_that_leaves_is_no_error(line, tmp_path):
    """As in `| head -1`: the pipe is closed before anything is written."""
    command = [sys.executable, *(part.replace("{tmp}", str(tmp_path)) for part in line)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == 141 and errors == ""
