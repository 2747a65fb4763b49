"""How `recface` answers, and how it ends."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from tests.conftest import ROOT

from recface.cli.program import COMMANDS, ended, main
from recface.errors import Interrupted, RecfaceError

HEAVY = ("torch", "lightning", "wandb", "pandas", "optuna", "matplotlib", "scipy", "sklearn")
SHOW = """
import json, runpy, sys
sys.argv = {argv!r}
sys.path.insert(0, "src")
try:
    runpy.run_{kind}({argv!r}[0], run_name="__main__")
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in {heavy!r} if name in sys.modules]]))
"""


def answered(*argv, heavy=HEAVY):
    """Exit code of a fresh process, and which modules it imported."""
    kind = "path" if argv[0].endswith(".py") else "module"
    script = SHOW.format(argv=list(argv), kind=kind, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    code, imported = json.loads(done.stdout.splitlines()[-1])
    return code or 0, imported, done


@pytest.mark.parametrize(
    "argv",
    [
        ["recface", "--help"],
        ["recface", "--candidates", "run", "+experiment="],
        *(["recface", *name.split(), "--help"] for name in COMMANDS),
    ],
)
def test_help_and_completion_import_not_even_hydra(argv):
    code, imported, done = answered(*argv, heavy=(*HEAVY, "hydra", "omegaconf", "numpy", "pydantic"))
    assert (code, imported) == (0, []), done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["src/run.py", "--help"],
        ["src/tables.py", "--help"],
        ["recface", "run", "--cfg", "job"],
        ["recface", "evaluate", "--list"],
        ["src/sweep.py", "sweeps/ablation.yaml", "--dry-run"],
        ["recface", "sweep", "sweeps/search.yaml", "--dry-run"],
        ["recface", "sweep", "run", "sweeps/ablation.yaml", "loss.pixl=1"],
    ],
)
def test_nothing_heavy_is_imported_to_answer_at_once(argv):
    code, imported, done = answered(*argv)
    assert (code, imported) == (1 if "loss.pixl=1" in argv else 0, []), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["src/run.py", "--help"],
        ["-m", "recface", "run", "--cfg", "job"],
        ["src/sweep.py", "sweeps/ablation.yaml", "--dry-run"],
        ["src/tables.py", "--runs", "none", "--results", "{tmp}"],
        ["-m", "recface", "evaluate", "--list"],
    ],
)
def test_a_reader_that_leaves_is_no_error(line, tmp_path):
    """As in `| head -1`: the pipe is closed before anything is written."""
    command = [sys.executable, *(part.replace("{tmp}", str(tmp_path)) for part in line)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141 and errors == ""


def test_how_a_command_ends(capsys, monkeypatch):
    monkeypatch.delenv("RECFACE_DEBUG", raising=False)

    def ends(result):
        def body():
            if isinstance(result, BaseException):
                raise result
            return result

        return ended("recface x", body), capsys.readouterr().err

    assert ends(None) == (0, "") and ends(3) == (3, "")
    assert ends(RecfaceError("no file x; give another")) == (1, "recface x: no file x; give another\n")
    assert ends(RecfaceError("two\nlines")) == (1, "recface x: two lines\n")
    assert ends(KeyboardInterrupt()) == (130, "recface x: interrupted: run the same command again to resume\n")
    assert ends(Interrupted(1)) == (129, "recface x: interrupted: run the same command again to resume\n")
    code, said = ends(ZeroDivisionError("division by zero"))
    assert code == 1 and said == "recface x: division by zero (ZeroDivisionError; RECFACE_DEBUG=1 shows where)\n"
    monkeypatch.setenv("RECFACE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "recface: no command 'trian': known are baselines, completion, "),
        (["--verbose"], "recface: no command '--verbose'"),
        (["tables", "--runs"], "recface tables: argument --runs: expected one argument; see `recface tables --help`"),
        (["tables", "runs"], "recface tables: unrecognized arguments: runs"),
        (["sweep"], "recface sweep: the following arguments are required: FILE"),
        (["sweep", "status", "a.yaml", "seed"], "recface sweep status: unexpected 'seed': overrides are key=value"),
        (["sweep", "sweeps/ablation.yaml", "--workers", "0"], "recface sweep: --workers is 0, it must be at least 1"),
        (["sweep", "prune", "a.yaml", "--run-cap", "0"], "recface sweep prune: --run-cap is 0, it must be at least 1"),
        (["evaluate"], "recface evaluate: one of the arguments --list --all --predictions is required"),
        (["tables", "--table", "x"], "recface tables: --table and --block name the cell of --explain ROW COLUMN"),
        (["completion", "csh"], "recface completion: argument shell: invalid choice: 'csh'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(arguments, said, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(said) and printed.err.count("\n") == 1 and printed.out == ""


def test_paths_of_every_command_may_hold_any_character():
    sent, read = "face_model.path=runs/scans/ab/seed=0/sfm.npz", "face_model.path='runs/scans/ab/seed=0/sfm.npz'"
    for name in ("scans", "baselines", "baselines export"):
        arguments = {"baselines export": ["DIR"], "baselines": ["mean_face"]}.get(name, [])
        assert COMMANDS[name].parse([*arguments, sent]).overrides == [read]
    assert COMMANDS["sweep"].parse(["FILE", sent]).overrides == [sent]  # becomes a parameter, as in the file


def test_the_overview_names_every_command(capsys):
    assert main([]) == 0 and main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS if " " not in name)
    assert main(["sweep", "--help"]) == 0
    assert "recface sweep status" in capsys.readouterr().out


def test_the_version_is_the_distribution_s(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"{version('recface')}\n"
