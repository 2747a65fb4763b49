"""Arrays as NumPy reads them, in native byte order, and no more memory than a file is worth."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from tests.fuzz.memory import forget_peak, memory

from recface.errors import RecfaceError
from recface.files.arrays import read_array, read_arrays

ORDERED = st.sampled_from(["<", ">"])
DTYPES = st.one_of(
    nps.floating_dtypes(endianness="<"),
    nps.floating_dtypes(endianness=">"),
    nps.integer_dtypes(endianness=">"),
    nps.unsigned_integer_dtypes(endianness="<"),
    nps.boolean_dtypes(),
    nps.unicode_string_dtypes(endianness=">", max_len=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=DTYPES.flatmap(lambda kind: nps.arrays(kind, nps.array_shapes(min_dims=0, min_side=0, max_side=4))))
def test_values_and_shapes_of_every_kind_and_byte_order(tmp_path, array) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=array, b=np.array(array, order="F"))
    np.save(tmp_path / "a.npy", array)
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == ["a", "b"]
    mapped = [read_array(tmp_path / "a.npy")] if array.ndim else []  # a map has one dimension or more
    for one in (*found.values(), *mapped):
        assert one.dtype.isnative and one.dtype == array.dtype.newbyteorder("=") and one.shape == array.shape
        np.testing.assert_array_equal(one, array)


def test_only_what_is_asked_for(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", test_a=1, test_b=2, other=3)
    assert set(read_arrays(tmp_path / "a.npz", "test_", "none")) == {"test_a", "test_b"}


def test_a_large_array_stays_on_disk(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(9))
    assert isinstance(read_array(tmp_path / "a.npy"), np.memmap)


def npy(header: str, rest: bytes = b"") -> bytes:
    """An array by its header and content."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + rest


def written(path, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", content)


FORM = "{'descr': '<f8', 'fortran_order': False, 'shape': %s}"
LIES = {
    "more than there is": npy(FORM % "(100,)", bytes(80)),
    "less than there is": npy(FORM % "(9,)", bytes(80)),
    "an exabyte": npy(FORM % "(144115188075855872,)", bytes(80)),
    "negative": npy(FORM % "(-10,)", bytes(80)),
    "two negatives": npy(FORM % "(-2, -5)", bytes(80)),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
    "no dict": npy("import os", bytes(80)),
    "a call": npy("{'descr': open('x', 'w'), 'fortran_order': False, 'shape': ()}", bytes(8)),
    "no header": b"\x93NUMPY\x01\x00",
    "no array": b"hello",
    "nothing": b"",
    "nested": npy("(" * 100 + ")" * 100),
}


@pytest.mark.filterwarnings("ignore:.*negative:UserWarning")
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused(tmp_path, monkeypatch, lie) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.npz", LIES[lie])
    (tmp_path / "a.npy").write_bytes(LIES[lie])
    for read, name in ((read_arrays, "a.npz"), (read_array, "a.npy")):
        if (lie, name) == ("less than there is", "a.npy"):
            continue  # NumPy appends so; what the header promises is there
        before = forget_peak()
        with pytest.raises(RecfaceError, match=f"{name}: not a readable"):
            read(tmp_path / name)
        assert memory("VmHWM") - before < 50e6
    assert not (tmp_path / "x").exists()


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path) -> None:
    blank = io.BytesIO()
    packed = zipfile.ZipFile(blank, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed as archive, archive.open("a.npy", "w", force_zip64=True) as stream:
        stream.write(npy(FORM % "(75000000,)"))
        for _ in range(600):
            stream.write(bytes(1_000_000))
    (tmp_path / "a.npz").write_bytes(blank.getvalue())
    before = forget_peak()
    with pytest.raises(RecfaceError, match=r"a\.npz: not a readable npz \(2\.\d MB would expand to 0\.6 GB\); run it"):
        read_arrays(tmp_path / "a.npz")
    assert memory("VmHWM") - before < 50e6


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path) -> None:
    written(tmp_path / "a.npz", npy(FORM % "(1000,)", bytes(8000)), zipfile.ZIP_DEFLATED)
    data = (tmp_path / "a.npz").read_bytes()
    size = (len(npy(FORM % "(1000,)")) + 8000).to_bytes(4, "little")
    assert data.count(size) == 2  # beside the member, and in the directory
    (tmp_path / "a.npz").write_bytes(data.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(RecfaceError, match="not a readable npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_flipped_bit_is_seen(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(100.0))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[500] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(RecfaceError, match="CRC"):
        read_arrays(tmp_path / "a.npz")
