"""A preparation is resumed, leaves out what is damaged and says so, and keeps to its folder."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.official.datasets import write_manifest, write_vggface2

from recface.data.detection import NoDetectorError
from recface.data.store import PhotoStore
from recface.errors import RecfaceError
from recface.prepare import preparation
from recface.prepare.dataset import Row
from recface.prepare.preparation import Job, prepare


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "vgg"
    write_vggface2(folder, people=4, each=3)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_several_processes_write_what_one_writes(raw, tmp_path):
    seen = []
    prepare("vggface2", raw, tmp_path / "one", 32, shard=4)
    prepare("vggface2", raw, tmp_path / "two", 32, workers=2, shard=4, watch=lambda *done: seen.append(done))
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert one == two and sum(name.endswith(".arrow") for name in one) == 5  # four shards of 15 photos, and the index
    assert seen[-1] == (15, 15)


def test_a_finished_or_other_preparation_is_not_done_again(raw, tmp_path, monkeypatch):
    goal = prepare("vggface2", raw, tmp_path / "out", 32)
    monkeypatch.setattr(preparation, "make_shard", None)
    assert prepare("vggface2", raw, tmp_path / "out", 32) == goal
    with pytest.raises(RecfaceError, match="was prepared with size 32, not 48; give a new folder"):
        prepare("vggface2", raw, tmp_path / "out", 48)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(RecfaceError, match="holds something else"):
        prepare("vggface2", raw, tmp_path / "full", 32)
    with pytest.raises(RecfaceError, match="lies in the dataset's own folder"):
        prepare("vggface2", raw, raw / "store", 32)
    with pytest.raises(RecfaceError, match="no dataset 'vgg': known are vggface2, "):
        prepare("vgg", raw, tmp_path / "out")


def test_finished_shards_are_kept(raw, tmp_path, monkeypatch):
    prepare("vggface2", raw, tmp_path / "whole", 32, shard=4)
    made, make = [], preparation.make_shard

    def until_two(job):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(job.number)
        return make(job)

    monkeypatch.setattr(preparation, "make_shard", until_two)
    with pytest.raises(KeyboardInterrupt):
        prepare("vggface2", raw, tmp_path / "out", 32, shard=4)
    monkeypatch.setattr(preparation, "make_shard", make)
    cropped, crop = [], preparation.crop
    monkeypatch.setattr(
        preparation, "crop", lambda data, row, *rest: cropped.append(row.file) or crop(data, row, *rest)
    )
    prepare("vggface2", raw, tmp_path / "out", 32, shard=4)
    assert len(cropped) == 15 - 8
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_shard_of_other_labels_is_another(tmp_path):
    row = Row("a.jpg", tmp_path / "a.jpg", "ann", five=np.arange(10.0).reshape(5, 2), extra={"yaw": "1"})
    labels = ({"identity": "bob"}, {"split": "test"}, {"extra": {"yaw": "2"}})
    changes = (*labels, {"five": row.five + 1e-6}, {"box": (0, 0, 9, 9)})
    rows = [replace(row, **change) for change in ({}, {"photo": tmp_path}, *changes)]
    digests = [Job("vggface2", tmp_path, 32, 0, [changed]).digest for changed in rows]
    assert digests[0] == digests[1] and len(set(digests)) == 1 + len(changes)


@pytest.mark.slow
def test_a_kill_loses_no_finished_shard(raw, tmp_path):
    """Killed by the system as soon as a shard is there; its workers end too, and the next run goes on."""
    out = tmp_path / "out"
    script = (
        "from pathlib import Path; from recface.prepare.preparation import prepare; import sys, time;"
        "prepare('vggface2', Path(sys.argv[1]), Path(sys.argv[2]), 32, shard=1,"
        " watch=lambda done, total: time.sleep(0.2))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(raw), str(out)])
    try:
        while len(list(out.glob(".parts/*.json"))) < 2 and process.poll() is None:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    numbers = [path.stem for path in out.glob(".parts/*.json")]
    kept = {path: path.stat().st_mtime_ns for path in (out / f"shard-{number}.arrow" for number in numbers)}
    assert len(kept) >= 2 and not (out / "store.json").exists()
    prepare("vggface2", raw, out, 32, shard=1)
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert len(PhotoStore(out)) == 15


def test_damaged_photos_are_listed(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    person = tmp_path / "raw" / "train" / "n000002"
    (person / "0001_01.jpg").write_bytes(b"\xff\xd8 cut")
    (person / "0002_01.jpg").unlink()
    Image.new("RGB", (20, 20)).save(person / "0003_01.jpg")
    prepare("vggface2", tmp_path / "raw", tmp_path / "out", 32)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["found"], report["kept"], sum(report["skipped"].values())) == (15, 12, 3)
    assert report["people"] == 4 and report["photos a person"] == {"least": 3, "median": 3, "most": 3}
    listed = dict(line.split(",", 1) for line in (tmp_path / "out" / "skipped.csv").read_text().splitlines()[1:])
    assert list(listed) == [f"train/n000002/000{n}_01.jpg" for n in (1, 2, 3)]
    assert "not a readable image" in listed["train/n000002/0001_01.jpg"]
    assert listed["train/n000002/0002_01.jpg"] == "no such file"
    assert "kept: 12" in (tmp_path / "out" / "report.md").read_text()
    assert len(PhotoStore(tmp_path / "out")) == 12


def test_nothing_outside_of_the_folder_is_written(raw, tmp_path):
    before = content(raw.parent)
    prepare("vggface2", raw, tmp_path / "out", 32, limit=4)
    assert content(raw.parent) == before and [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(PhotoStore(tmp_path / "out")) == 4


def test_photos_none_of_which_can_be_used_say_why(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(RecfaceError, match="none of 15 photos can be used: not a readable image"):
        prepare("vggface2", tmp_path / "raw", tmp_path / "out", 32)


def test_without_a_detector_one_line_says_what_to_install(tmp_path, monkeypatch):
    write_manifest(tmp_path / "raw")
    table = tmp_path / "raw" / "faces.csv"
    table.write_text(table.read_text().replace("true", "false"))

    def missing(_):
        raise NoDetectorError("pip install 'recface[prepare]'")

    monkeypatch.setattr(preparation, "face_points", missing)
    with pytest.raises(RecfaceError, match=r"manifest: 3.png: pip install 'recface\[prepare\]'"):
        prepare("manifest", tmp_path / "raw", tmp_path / "out", 32)


def test_a_sheet_shows_crops_from_all_over_the_store(raw, tmp_path):
    out = prepare("vggface2", raw, tmp_path / "out", 112).parent
    sheet = np.asarray(Image.open(out / "sheet.png"), float)
    assert sheet.shape == (224, 896, 3)
    np.testing.assert_array_equal(sheet[:112, :112].transpose(2, 0, 1), PhotoStore(out).images(np.array([0]))[0])
