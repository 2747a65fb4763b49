"""States of networks: whole, finite, plain, and of the very network; nothing in a file runs."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from recface.errors import RecfaceError
from recface.files.checkpoints import load_state, require_keys, require_same, save_state, tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2), "steps": torch.tensor(7)}


def refusal(action, *arguments) -> str:
    with pytest.raises(RecfaceError) as caught:
        action(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert not any(word in text for word in ("pickle", "weights_only", "trust", "safe_globals"))
    return text


def test_a_state_comes_back(tmp_path) -> None:
    content = {"step": 3, "state": STATE, "rates": [0.1, 0.2], "name": "sir"}
    save_state(content, tmp_path / "a.pt")
    found = load_state(tmp_path / "a.pt")
    assert {name: found[name] for name in ("step", "rates", "name")} == {"step": 3, "rates": [0.1, 0.2], "name": "sir"}
    assert all(torch.equal(found["state"][name], tensor) for name, tensor in STATE.items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_names_of_nested_tensors() -> None:
    assert [name for name, _ in tensors({"state": STATE, "step": 3})] == [f"state.{name}" for name in STATE]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, kind) -> None:
    broken = torch.ones(4, 5, dtype=kind)
    broken[2, 3] = value
    torch.save({"state": STATE | {"a.weight": broken}}, tmp_path / "a.pt")
    assert "state.a.weight holds NaN or infinity" in refusal(load_state, tmp_path / "a.pt")


OTHERS = {
    "a list": ([STATE], "must hold a dict, not a list"),
    "a tensor": (torch.ones(3), "must hold a dict, not a Tensor"),
    "a network": (torch.nn.Linear(2, 2), "other objects"),
    "a class": ({"a": zipfile.ZipFile}, "other objects"),
    "NumPy's": ({"a": np.ones(3)}, "other objects"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_state_is_refused(tmp_path, kind) -> None:
    content, said = OTHERS[kind]
    torch.save(content, tmp_path / "a.pt")
    text = refusal(load_state, tmp_path / "a.pt")
    assert text.startswith(f"{tmp_path / 'a.pt'}: not a readable checkpoint") and said in text
    assert text.endswith("remove it and run the same command again")


def test_damaged_files_are_refused(tmp_path) -> None:
    save_state(STATE, tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    flipped = bytearray(data)
    flipped[data.index(STATE["a.weight"].numpy().tobytes()) + 5] ^= 64
    for damaged in (b"", data[:100], data[: len(data) // 2], data[:-10], bytes(flipped), b"hello", data[50:]):
        (tmp_path / "a.pt").write_bytes(damaged)
        assert "a.pt: not a readable checkpoint" in refusal(load_state, tmp_path / "a.pt")


def test_the_older_form_is_refused_in_words(tmp_path) -> None:
    torch.save(STATE, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert "not a readable checkpoint" in refusal(load_state, tmp_path / "a.pt")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path) -> None:
    """A view that repeats one number a billion times is a few bytes on disk."""
    torch.save({"a": torch.ones(1).expand(1_000_000_000)}, tmp_path / "a.pt")
    assert "a is larger than its storage" in refusal(load_state, tmp_path / "a.pt")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path) -> None:
    packed = zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed as archive, archive.open("a/data/0", "w", force_zip64=True) as stream:
        for _ in range(600):
            stream.write(bytes(1_000_000))
    assert "would expand to 0.6 GB" in refusal(load_state, tmp_path / "a.pt")


def test_missing_keys_are_named() -> None:
    require_keys({"step": 1, "state": {}}, ("step", "state"), "a.ckpt")
    text = refusal(require_keys, {"step": 1}, ("step", "state", "optimizer"), "a.ckpt")
    assert text == "a.ckpt: lacks state, optimizer; remove it and run the same command again"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("a.weight"), "a.pt: lacks a.weight (2, 3)"),
        (lambda state: state.update({"a.weight": torch.ones(3, 2)}), "a.weight is (3, 2), the network's is (2, 3)"),
        (lambda state: state.update({"b.weight": torch.ones(1)}), "b.weight is (1,), the network's is None"),
    ],
)
def test_only_the_very_networks_weights_are_taken(change, said) -> None:
    state = dict(STATE)
    require_same(state, STATE, "a.pt")
    change(state)
    assert said in refusal(require_same, state, STATE, "a.pt")


class Stop(BaseException):
    """Whatever ends a process."""


@pytest.mark.parametrize("when", ["while writing", "before replacing"])
def test_a_state_is_kept_until_the_next_is_whole(tmp_path, monkeypatch, when) -> None:
    path = tmp_path / "final.pt"
    save_state({"step": 1}, path)

    def write_half(state, target) -> None:
        Path(target).write_bytes(b"half")
        raise Stop

    def stop(*paths) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        if when == "while writing":
            patch.setattr(torch, "save", write_half)
        else:
            patch.setattr("os.replace", stop)
        with pytest.raises(Stop):
            save_state({"step": 2}, path)
    assert load_state(path) == {"step": 1}
    save_state({"step": 3}, path)  # what was left half written is in nobody's way
    assert load_state(path) == {"step": 3} and [file.name for file in tmp_path.iterdir()] == ["final.pt"]
