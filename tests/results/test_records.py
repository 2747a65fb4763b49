"""Records from a W&B project, whose runs are folders here; tests/wandb_server/test_run.py has the real `wandb.Api`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.results.build import write_tables, write_tables_from_wandb
from recface.results.records import download_records, find_records
from recface.tracking.archive import stage_record


class File:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def download(self, root: str, replace: bool):
        target = Path(root) / self.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / self.name, target)
        return open(target, "rb")


class Run:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, names):
        return [File(self.folder, name) for name in names if (self.folder / name).is_file()]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Call it with run folders, None for a run that has sent no record."""

    def make(*folders):
        runs = []
        for number, folder in enumerate(folders):
            target = tmp_path / "project" / str(number)
            if folder is not None:
                stage_record(folder, target)
            runs.append(Run(target))
        monkeypatch.setattr("recface.results.records._wandb_runs", lambda name: runs)

    return make


def test_tables_are_those_of_the_run_folders(made, table_configs, project, tmp_path):
    runs, _ = made
    project(*(path.parent for path in sorted(runs.glob("*/*/seed=*/run.json"))))
    theirs, _ = write_tables_from_wandb(table_configs, "someone/recface", tmp_path / "theirs")
    ours, _ = write_tables(table_configs, runs, tmp_path / "ours")
    assert [path.name for path in theirs] == [path.name for path in ours]
    for left, right in zip(theirs, ours, strict=True):
        assert left.read_bytes() == right.read_bytes(), left.name
    # the records that the tables take are kept, so that a clone can rebuild and check them
    records = [sorted(path.name for path in (tmp_path / name / "records").iterdir()) for name in ("theirs", "ours")]
    assert records[0] == records[1]


def test_the_newest_finished_run_counts(project, tmp_path, capsys):
    older = synthetic.make_run(tmp_path / "a", "sir", 0, 0.5)
    newer = synthetic.make_run(tmp_path / "b", "sir", 0, 0.9)
    failed = synthetic.make_run(tmp_path / "c", "sir", 0, 0.7)
    for folder, time, state in (
        (older, "2026-01-01", "finished"),
        (newer, "2026-01-02", "finished"),
        (failed, "2026-01-03", "failed"),
    ):
        text = (folder / "run.json").read_text().replace('"state": "finished"', f'"state": "{state}"')
        head, _, tail = text.partition('"updated": "')
        (folder / "run.json").write_text(f'{head}"updated": "{time}{tail[10:]}')
    project(newer, failed, older, None)
    assert download_records("someone/recface", tmp_path / "records") == 1
    (entry,) = find_records(tmp_path / "none", tmp_path / "records")
    assert entry.record.config["loss"]["noise"] == 0.9 and entry.predictions is not None
    assert "left out 1 runs that have sent no record yet" in capsys.readouterr().err


def test_mistakes_are_one_line(project, tmp_path):
    project(None)
    with pytest.raises(RecfaceError, match="no run there has sent a record"):
        download_records("someone/recface", tmp_path)
    with pytest.raises(RecfaceError, match="give ENTITY/PROJECT"):
        download_records("recface", tmp_path)
    entry = ROOT / "src" / "tables.py"
    command = [sys.executable, str(entry), "--check", "--wandb", "someone/recface"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "recface tables: --check compares with the runs on disk: leave out --wandb\n"
