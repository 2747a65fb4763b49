"""MAT files as SciPy reads them, and no size in them believed."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from tests.fuzz.memory import forget_peak, memory

from recface.errors import RecfaceError
from recface.files.matlab import read_matlab


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_of_scipy(compressed, tmp_path):
    random = np.random.default_rng(0)
    content = {"a": random.normal(size=(5, 3)), "b": random.integers(0, 9, (4, 1)).astype(np.uint16), "c": "text"}
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    found, expected = read_matlab(tmp_path / "a.mat", "a", "b", "absent"), loadmat(tmp_path / "a.mat")
    assert list(found) == ["a", "b"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
        assert array.dtype == expected[name].dtype


@pytest.mark.parametrize("value", ["text", {"field": 1}, np.array([1, "a"], dtype=object)])
def test_other_things_than_numbers_are_refused(value, tmp_path):
    savemat(tmp_path / "a.mat", {"a": value})
    with pytest.raises(RecfaceError, match=r"a\.mat: not a readable MAT file \(a is a .*, expected numbers\)"):
        read_matlab(tmp_path / "a.mat", "a")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_cut_file_is_refused(compressed, tmp_path):
    savemat(tmp_path / "a.mat", {"a": np.arange(900.0)}, do_compression=compressed)
    whole = (tmp_path / "a.mat").read_bytes()
    for size in (0, 100, 130, 200, len(whole) - 8):
        (tmp_path / "a.mat").write_bytes(whole[:size])
        with pytest.raises(RecfaceError, match="not a readable MAT file"):
            read_matlab(tmp_path / "a.mat", "a")


def test_version_7_3_says_what_to_do(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["a"] = np.zeros(3)
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(RecfaceError, match=r"a\.mat: MAT version 7\.3 is not read; in MATLAB, load it and save"):
        read_matlab(tmp_path / "a.mat", "a")


def test_a_part_that_lies_about_its_size_is_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"a": np.arange(9.0)})
    whole = bytearray((tmp_path / "a.mat").read_bytes())
    place = whole.index(struct.pack("<II", 9, 72))  # numbers of kind double, 72 bytes
    whole[place + 4 : place + 8] = struct.pack("<I", 4_000_000_000)
    (tmp_path / "a.mat").write_bytes(whole)
    with pytest.raises(RecfaceError, match="an array with parts beyond its end"):
        read_matlab(tmp_path / "a.mat", "a")


def test_an_archive_of_zeros_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("recface.files.matlab.FREE_BYTES", 0)
    savemat(tmp_path / "a.mat", {"a": np.zeros(2)})
    head = (tmp_path / "a.mat").read_bytes()[:128]
    bomb = zlib.compressobj()
    parts = [bomb.compress(struct.pack("<II", 14, 4_000_000_000))]
    parts += [bomb.compress(bytes(10_000_000)) for _ in range(10)] + [bomb.flush()]
    packed = b"".join(parts)
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    before = forget_peak()
    with pytest.raises(RecfaceError, match="a compressed array that is damaged or too large"):
        read_matlab(tmp_path / "a.mat", "a")
    assert memory("VmHWM") - before < 40_000_000
