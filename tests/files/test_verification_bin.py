"""InsightFace's verification files: what Python 2 and 3 wrote comes out, and nothing in them runs."""

import os
import pickle
import struct

import numpy as np
import pytest

from recface.errors import RecfaceError
from recface.files.verification_bin import read_verification_bin

PHOTOS, SAME = [bytes([row]) * 300 for row in range(4)], [True, False]


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its texts."""

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}


@pytest.mark.parametrize("version", [2, 3])
def test_both_pythons(tmp_path, version) -> None:
    with (tmp_path / "a.bin").open("wb") as stream:
        (Python2(stream, 2) if version == 2 else pickle.Pickler(stream, 4)).dump((PHOTOS, SAME))
    photos, same = read_verification_bin(tmp_path / "a.bin")
    assert photos == PHOTOS and same.dtype == bool and same.tolist() == SAME


class Harm:
    """Makes a folder when it is read by pickle."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda folder: (PHOTOS, Harm(folder / "made")), "a pickle with code in it .*mkdir.*; nothing was run"),
        (lambda folder: (PHOTOS[:3], SAME), "3 photos for 2 pairs"),
        (lambda folder: ([], []), "0 photos for 0 pairs"),
        (lambda folder: (["text"] * 4, SAME), "must hold a list of encoded photos"),
        (lambda folder: (PHOTOS, [1, 2]), "must hold a list of encoded photos"),
        (lambda folder: PHOTOS, "not a readable verification file"),
        (lambda folder: 7, "not a readable verification file"),
        (lambda folder: (np.zeros((4, 2)), SAME), "a pickle with code in it .*numpy"),
    ],
)
def test_other_contents_are_one_line(tmp_path, content, said) -> None:
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content(tmp_path)))
    with pytest.raises(RecfaceError, match=said) as caught:
        read_verification_bin(tmp_path / "a.bin")
    assert str(caught.value).startswith(str(tmp_path / "a.bin")) and not (tmp_path / "made").exists()


def test_a_damaged_file_is_one_line(tmp_path) -> None:
    whole = pickle.dumps((PHOTOS, SAME))
    for cut in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.bin").write_bytes(whole[:cut])
        with pytest.raises(RecfaceError, match="not a readable verification file"):
            read_verification_bin(tmp_path / "a.bin")
