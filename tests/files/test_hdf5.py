"""HDF5 files as h5py reads them; links and sizes are not believed."""

import sys

import h5py
import numpy as np
import pytest

from recface.errors import RecfaceError
from recface.files.hdf5 import read_hdf5


def test_arrays_are_those_of_h5py(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["shape/model/mean"] = values
        file.create_dataset("cells", data=np.arange(6), compression="gzip")
    found = read_hdf5(tmp_path / "a.h5", "shape/model/mean", "cells", "shape/absent", "cells/absent")
    assert list(found) == ["shape/model/mean", "cells"]
    np.testing.assert_array_equal(found["shape/model/mean"], values)
    np.testing.assert_array_equal(found["cells"], np.arange(6))


def outside(file):
    file["a"] = h5py.ExternalLink("other.h5", "a")


def soft(file):
    file["b"] = np.zeros(3)
    file["a"] = h5py.SoftLink("/b")


def raw(file):
    file.create_dataset("a", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "a", (3,))
    file.create_virtual_dataset("a", layout)


def text(file):
    file["a"] = "text"


def group(file):
    file["a/b"] = 1.0


def huge(file):
    file.create_dataset("a", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024), compression="gzip")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (outside, "a is a link to another place"),
        (soft, "a is a link to another place"),
        (raw, "a lies in another file"),
        (virtual, "a lies in another file"),
        (text, "a is not an array of numbers"),
        (group, "a is not an array of numbers"),
        (huge, "is larger than such a file can be"),
    ],
)
def test_what_is_no_array_of_the_file_is_refused(write, says, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.zeros(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(RecfaceError, match=rf"a\.h5: not a readable HDF5 file \(.*{says}"):
        read_hdf5(tmp_path / "a.h5", "a")


def test_missing_package_and_foreign_file(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_text("no HDF5")
    with pytest.raises(RecfaceError, match=r"a\.h5: not a readable HDF5 file"):
        read_hdf5(tmp_path / "a.h5", "a")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RecfaceError, match="the package h5py is not installed; pip install 'h5py"):
        read_hdf5(tmp_path / "a.h5", "a")
