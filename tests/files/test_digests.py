"""Digests follow the content of files, and are cheap to ask for."""

import os

from recface.files import digests
from recface.files.digests import MISSING, file_digest, files_digest, photos_digest, seldom


def test_a_digest_is_of_the_content(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a")
    other.write_bytes(b"a")
    assert file_digest(one) == file_digest(other) != file_digest(tmp_path / "none") == MISSING
    other.write_bytes(b"b")
    os.utime(other, ns=(1, 1))
    assert file_digest(one) != file_digest(other)


def test_a_folder_has_the_digest_of_its_files(tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        (folder / "model.mat").write_bytes(b"a")
        (folder / "deeper").mkdir()
    assert file_digest(folders[0]) == file_digest(folders[1]) != MISSING
    (folders[1] / "Exp_Pca.bin").write_bytes(b"b")
    assert file_digest(folders[0]) != file_digest(folders[1])


def test_many_files_are_read_once_and_again_where_one_changes(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    first = files_digest(paths, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(digests, "file_digest", lambda path: 1 / 0)
        assert files_digest(paths, tmp_path / "cache") == first
    assert files_digest(paths[::-1], tmp_path / "cache") != first
    paths[1].write_bytes(b"x")
    assert files_digest(paths, tmp_path / "cache") != first
    paths[1].unlink()
    assert files_digest(paths, tmp_path / "cache") != first  # a missing one is no error yet


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path):
    (tmp_path / "file").write_bytes(b"a")
    (tmp_path / "cache").write_bytes(b"no folder")
    assert files_digest([tmp_path / "file"], tmp_path / "cache") == files_digest(
        [tmp_path / "file"], tmp_path / "other"
    )


def test_what_takes_long_is_asked_seldom(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    @seldom
    def digest(name: str) -> str:
        calls.append(name)
        clock[0] += 10.0 if name == "slow" else 0.1
        return f"{name}{len(calls)}"

    assert digest("quick") != digest("quick")
    first = digest("slow")
    clock[0] += 150
    assert digest("slow") == first
    clock[0] += 50
    assert digest("slow") != first


def test_names_that_no_file_can_have_are_missing(tmp_path):
    for name in ("x" * 300, "a\0b"):
        assert file_digest(tmp_path / name) == MISSING
        (tmp_path / "faces.csv").write_text(f"file\n{name}\n")
        assert len(photos_digest(tmp_path, tmp_path / "cache")) == 12
