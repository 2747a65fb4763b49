"""Only regular files are read, whatever a parser raises is one line, and text never becomes a path."""

import os
import pickle
import socket
import time

import numpy as np
import pytest
import torch

from recface.errors import RecfaceError
from recface.files.arrays import read_array, read_arrays
from recface.files.checkpoints import load_state
from recface.files.guard import guarded, plain_name, reason
from recface.files.images import read_image
from recface.files.json_files import read_json, read_json_lines
from recface.files.meshes import read_mesh
from recface.files.tables import read_table
from recface.files.yaml_files import read_yaml

READERS = {
    "a.npz": read_arrays,
    "a.npy": read_array,
    "a.pt": load_state,
    "a.json": read_json,
    "a.jsonl": read_json_lines,
    "a.yaml": read_yaml,
    "a.png": read_image,
    "a.obj": read_mesh,
    "a.ply": read_mesh,
    "a.csv": lambda path: read_table(path, ("id",)),
}
OTHERS = {
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "no such file": lambda path: None,
}


def refusal(read, path) -> str:
    with pytest.raises(RecfaceError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and len(text.splitlines()) == 1, text
    return text


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch, name, kind) -> None:
    monkeypatch.chdir(tmp_path)  # paths of sockets are short
    path = tmp_path / name
    OTHERS[kind](path if kind != "a socket" else path.relative_to(tmp_path))
    begin = time.monotonic()
    assert kind in refusal(READERS[name], path)
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"PK\x03\x04", b"\x93NUMPY", b"\xff\xfe" * 30, b"[" * 100_000])
@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_rubbish_in_one_line(tmp_path, name, content) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if name == "a.jsonl" and b"\n" not in content:
        assert READERS[name](path) == []  # a line that a killed process did not finish
    elif name == "a.yaml" and not content:
        assert READERS[name](path)[0] is None
    else:
        assert not any(word in refusal(READERS[name], path) for word in ("pickle", "weights_only", "trust"))


class Trap:
    """Its unpickling makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def pickled(path, trap) -> None:
    if path.suffix == ".npy":
        np.save(path, np.array([trap], dtype=object), allow_pickle=True)
    elif path.suffix == ".npz":
        np.savez(path, a=np.array([trap], dtype=object))
    else:
        torch.save({"a": trap}, path)


@pytest.mark.parametrize("form", ["pickle", "own"])
@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.pt"])
def test_pickles_are_never_executed_and_no_message_advises_to(tmp_path, name, form) -> None:
    path, trap = tmp_path / name, Trap(tmp_path / "executed")
    if form == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        pickled(path, trap)
    said = refusal(READERS[name], path).removeprefix(str(path)).lower()
    assert not (tmp_path / "executed").exists()
    assert not any(word in said for word in ("pickle", "weights", "trust", "safe_globals")), said


def test_a_refusal_of_the_body_passes_as_it_is(tmp_path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(RecfaceError, match="^mine$"), guarded(tmp_path / "a", "thing", "mend it"):
        raise RecfaceError("mine")
    with pytest.raises(RecfaceError, match=r"a: not a readable thing \(two lines\); mend it$"):  # noqa: SIM117
        with guarded(tmp_path / "a", "thing", "mend it"):
            raise ValueError("two\nlines")
    with pytest.raises(KeyboardInterrupt), guarded(tmp_path / "a", "thing"):
        raise KeyboardInterrupt


def test_sizes_are_limited(tmp_path) -> None:
    (tmp_path / "a").write_bytes(bytes(2000))
    with pytest.raises(RecfaceError, match=r"at most 0\.001 MB are read"), guarded(tmp_path / "a", "thing", limit=1000):
        pytest.fail("the body must not run")


def test_an_exception_without_words_is_named_by_its_kind() -> None:
    assert reason(EOFError()) == "EOFError" and reason(ValueError("a\n b")) == "a b"


@pytest.mark.parametrize("name", ["sir", "a b", "01.x", "x=1,y", "Zoë", "_a-b+c@d"])
def test_plain_names(name) -> None:
    assert plain_name(name, "id") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\\b", "a\n", "a\0", "-rf", " a", "a" * 151, "C:x", "a;b"]
)
def test_names_that_could_lead_elsewhere_are_refused(name) -> None:
    with pytest.raises(RecfaceError, match="^run must be a plain name") as caught:
        plain_name(name, "run")
    assert len(str(caught.value).splitlines()) == 1
