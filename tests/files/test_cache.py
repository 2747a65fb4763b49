"""A shared cache: read without a lock, made once, made anew where it is damaged."""

import pytest

from recface.errors import RecfaceError
from recface.files.cache import cached, default_cache_dir


def test_what_is_missing_is_made_once_and_then_read(tmp_path):
    path, made = tmp_path / "deep" / "a.txt", []

    def read() -> str | None:
        return path.read_text() if path.is_file() and path.read_text() != "damaged" else None

    def make() -> None:
        made.append(path)
        path.write_text("whole")

    assert cached(path, read, make) == cached(path, read, make) == "whole"
    path.write_text("damaged")
    assert cached(path, read, make) == "whole" and len(made) == 2


def test_what_cannot_be_read_after_all_is_said(tmp_path):
    with pytest.raises(RecfaceError, match=r"a\.txt: what was just written cannot be read"):
        cached(tmp_path / "a.txt", lambda: None, lambda: None)


def test_cache_dir_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECFACE_CACHE", raising=False)
    assert default_cache_dir() == tmp_path / ".cache"
    monkeypatch.setenv("RECFACE_CACHE", "/elsewhere")
    assert str(default_cache_dir()) == "/elsewhere"
