"""Files are replaced whole or not at all."""

import json
import os

import numpy as np
import pytest

from recface.files.atomic import TEMPORARY, append_json_line, plain, replacing, sweep_up, write_arrays, write_bytes


def test_plain_turns_numpy_into_json():
    value = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": float("nan"), 3: (np.bool_(True), None)}
    assert plain(value) == {"a": 0.5, "b": [1, 2], "c": None, "3": [True, None]}


def test_write_bytes_leaves_equal_files_alone(tmp_path):
    path = tmp_path / "deep" / "file"
    assert write_bytes(path, b"1")
    before = path.stat().st_ino
    assert not write_bytes(path, b"1")
    assert path.stat().st_ino == before
    assert write_bytes(path, b"2")
    assert path.read_bytes() == b"2"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_arrays(tmp_path / "a.npz", {"allow": np.arange(3)})
    with pytest.raises(OSError, match="disk full"), replacing(tmp_path / "a.npz") as file:
        file.write(b"half")
        raise OSError("disk full")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    with np.load(tmp_path / "a.npz") as stored:
        np.testing.assert_array_equal(stored["allow"], np.arange(3))


def test_arrays_are_kept_until_the_next_are_whole(tmp_path):
    class Unwritable:
        def __array__(self, *options, **more):
            raise KeyboardInterrupt

    path = tmp_path / "predictions.npz"
    write_arrays(path, {"old": np.arange(5)})
    with pytest.raises(KeyboardInterrupt):
        write_arrays(path, {"first": np.zeros(10), "second": Unwritable()})
    with np.load(path) as stored:
        assert stored.files == ["old"] and stored["old"].tolist() == [0, 1, 2, 3, 4]
    write_arrays(path, {"new": np.ones(2)})
    with np.load(path) as stored:
        assert stored.files == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.npz"]


def test_what_a_killed_process_left_of_a_line_goes_with_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_json_line(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    append_json_line(path, {"step": 2})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]


def test_leavings_of_killed_processes_are_swept_up(tmp_path):
    old, new = (tmp_path / "deep" / f".{name}{TEMPORARY}" for name in ("old", "new"))
    write_bytes(tmp_path / "deep" / "kept", b"1")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    sweep_up(tmp_path, hours=1)
    assert {path.name for path in new.parent.iterdir()} == {"kept", new.name}
    sweep_up(tmp_path)
    assert [path.name for path in new.parent.iterdir()] == ["kept"]
