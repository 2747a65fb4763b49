"""Digests follow the content of files, and are cheap to ask for."""

import os

from recface.files import digests
from recface.files.digests import MISSING, file_digest, files_digest, model_digest, photos_digest, seldom


def test_a_digest_is_of_the_content(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a")
    other.write_bytes(b"a")
    assert file_digest(one) == file_digest(other) != file_digest(tmp_path / "none") == MISSING
    other.write_bytes(b"b")
    os.utime(other, ns=(1, 1))
    assert file_digest(one) != file_digest(other)


def test_a_face_model_has_the_digest_of_all_its_files(tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        (folder / "FaceXModel").mkdir(parents=True)
        (folder / "model.h5").write_bytes(b"a")
        (folder / "second.h5").write_bytes(b"a")
        (folder / "model.npz").write_bytes(b"n")

    def digests_of(name: str) -> list[str]:
        return [model_digest(folder / name) for folder in folders]

    for name in ("", "model.h5", "model.npz", "none"):
        assert digests_of(name)[0] == digests_of(name)[1]
    assert len({digests_of(name)[0] for name in ("", "model.h5", "second.h5", "model.npz")}) == 4
    assert model_digest(tmp_path / "none") == MISSING
    for beside in ("Exp_Pca.bin", "FaceXModel/identity000.obj"):
        (folders[1] / beside).write_bytes(b"b")
        for name in ("", "model.h5"):
            assert digests_of(name)[0] != digests_of(name)[1]
        (folders[0] / beside).write_bytes(b"b")
    (folders[1] / "landmarks68.csv").write_bytes(b"c")
    assert digests_of("model.npz")[0] == digests_of("model.npz")[1]  # which is whole by itself


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
