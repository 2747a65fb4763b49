import json

import numpy as np

from recface.tracking import RunFolder, RunRecord, archive, run_path
from recface.tracking.archive import PREDICTIONS_FILE, RECORD_FILE, stage_record


def started(tmp_path):
    folder = RunFolder.open(run_path(tmp_path / "runs", "sir", "0123abcd", 2))
    folder.start(RunRecord("sir", "0123abcd", 2))
    np.savez(folder.path / "predictions.npz", test_parameters=np.ones((4, 3), np.float32))
    return folder


def test_a_finished_run_is_staged_as_the_archive_has_it(tmp_path):
    folder = started(tmp_path)
    folder.finish({"benchmark": {"sir": 0.5}})
    target = tmp_path / "files"
    assert stage_record(folder.path, target) == [target / RECORD_FILE, target / PREDICTIONS_FILE]
    archived = archive(folder.path, tmp_path / "records")
    assert (target / RECORD_FILE).read_bytes() == archived.read_bytes()
    assert (target / PREDICTIONS_FILE).read_bytes() == archived.with_suffix(".npz").read_bytes()


def test_of_a_failed_run_the_record_alone(tmp_path):
    folder = started(tmp_path)
    folder.fail("no more disk")
    assert stage_record(folder.path, tmp_path / "files") == [tmp_path / "files" / RECORD_FILE]
    assert json.loads((tmp_path / "files" / RECORD_FILE).read_text())["reason"] == "no more disk"
