import json

import pytest
from filelock import FileLock
from lightning.pytorch.utilities.exceptions import SIGTERMException

from recface.errors import Interrupted, RecfaceError
from recface.tracking import RunFolder, RunRecord, read_record


def record(**fields):
    return RunRecord("sir", "0123abcd", 0, **fields)


def test_life_of_a_run(tmp_path):
    folder = RunFolder.open(tmp_path / "sir/0123abcd/seed=0")
    assert folder.record is None
    with folder.lock(), folder.running(record()):
        assert read_record(folder.path).state == "running"
        folder.stage("stage1")
        folder.update(data_manifest="cafe")
        folder.log_metrics({"epoch": 0, "loss": 1.5})
        folder.log_metrics({"epoch": 1, "loss": float("nan")})
        folder.finish({"benchmark": {"sir": 0.5}}, {"sir": "sir/v1"}, {"train": 3.0})
    again = RunFolder.open(folder.path)
    assert again.is_finished
    assert (again.record.stage, again.record.data_manifest) == ("stage1", "cafe")
    assert again.record.metrics == {"benchmark": {"sir": 0.5}}
    assert again.record.protocols == {"sir": "sir/v1"}
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": None}]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (RecfaceError("loss pixel is NaN at step 7"), "failed", "loss pixel is NaN at step 7"),
        (ValueError("two\nlines"), "failed", "ValueError: two lines"),
        (MemoryError(), "failed", "MemoryError"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (SystemExit(-1), "interrupted", "interrupted"),  # of a SLURM job that is queued again
        (SIGTERMException(), "interrupted", "interrupted"),
        (Interrupted(15), "interrupted", "interrupted by SIGTERM"),
    ],
)
def test_what_stops_a_run_is_written_down_and_goes_on(tmp_path, error, state, reason):
    folder = RunFolder.open(tmp_path)
    with pytest.raises(type(error)), folder.running(record()):
        raise error
    failed = read_record(tmp_path)
    assert (failed.state, failed.reason) == (state, reason)


def test_resumed_run_keeps_its_first_start_and_forgets_the_failure(tmp_path):
    folder = RunFolder.open(tmp_path)
    folder.start(record(started="2020-01-01T00:00:00+00:00"))
    folder.fail("killed")
    folder.start(record(started="2021-01-01T00:00:00+00:00"))
    assert read_record(tmp_path).started == "2020-01-01T00:00:00+00:00"
    assert (read_record(tmp_path).state, read_record(tmp_path).reason) == ("running", None)


def test_lock_keeps_others_out_and_shows_what_they_finished(tmp_path):
    first, second = RunFolder.open(tmp_path), RunFolder.open(tmp_path)
    with FileLock(tmp_path / ".lock"), pytest.raises(RecfaceError, match="another process"), second.lock(timeout=0):
        pass
    with first.lock():
        first.start(record())
        first.finish({})
    assert not second.is_finished
    with second.lock():
        assert second.is_finished


def test_progress_is_throttled_and_mirrored(tmp_path, monkeypatch):
    mirror = tmp_path / "mirror.json"
    monkeypatch.setenv("RECFACE_PROGRESS", str(mirror))
    folder = RunFolder.open(tmp_path / "run")

    def step():
        own = json.loads((folder.path / "progress.json").read_text())
        assert own == json.loads(mirror.read_text())
        return own["phase"], own["step"], own["loss"]

    folder.progress(1, 10, "stage1", loss=2.0)
    assert step() == ("stage1", 1, 2.0)
    folder.progress(2, 10, "stage1")
    assert step() == ("stage1", 1, 2.0)  # too soon
    folder.progress(3, 10, "stage2")
    assert step() == ("stage2", 3, None)  # a new phase is told at once
    folder.progress(10, 10, "stage2")
    assert step()[1] == 10  # so is the end
    monkeypatch.setattr("recface.tracking.folder.PROGRESS_SECONDS", 0.0)
    folder.progress(4, 10, "stage2")
    assert step()[1] == 4


def test_a_run_that_was_not_started_cannot_finish(tmp_path):
    with pytest.raises(RecfaceError, match="not been started"):
        RunFolder.open(tmp_path).finish({})
