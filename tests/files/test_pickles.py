"""Pickles as Python reads them, without running what they name."""

import os
import pickle
import subprocess
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from recface.errors import RecfaceError
from recface.files.pickles import read_pickle

KINDS = st.one_of(
    nps.floating_dtypes(), nps.integer_dtypes(), nps.unsigned_integer_dtypes(), nps.boolean_dtypes()
)  # of both byte orders


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=KINDS.flatmap(lambda kind: nps.arrays(kind, nps.array_shapes(max_side=4))),
    protocol=st.integers(0, 4),
    by_columns=st.booleans(),
)
def test_arrays_of_every_kind_order_and_protocol(array, protocol, by_columns, tmp_path):
    given_array = np.asfortranarray(array) if by_columns else array
    content = {"a": given_array, "text": "b", "number": 3, "matrix": scipy.sparse.csc_matrix(np.eye(3))}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(tmp_path / "a.pkl")
    assert set(found) == {"a", "text", "number"} and (found["text"], found["number"]) == ("b", 3)
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].shape == array.shape and found["a"].dtype == array.dtype.newbyteorder("=")


def test_python_2_wrote_arrays_with_text_and_old_names(tmp_path):
    """The bytes of `cPickle.dumps({"a": numpy.arange(3.0)}, 0)` in Python 2."""
    raw = repr(np.arange(3.0).tobytes())[1:].encode()
    old = b"(dp1\nS'a'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n"
    old += b"(I1\n(I3\ntcnumpy\ndtype\np6\n(S'f8'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + raw + b"\ntbs."
    (tmp_path / "a.pkl").write_bytes(old)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl")["a"], np.arange(3.0))
    np.testing.assert_array_equal(pickle.loads(old, encoding="latin1")["a"], np.arange(3.0))


def test_a_dict_in_an_npy_file_with_tensors_beside_arrays(tmp_path):
    content = {"a": np.arange(6).reshape(1, 6), "tensor": torch.arange(3), "more": OrderedDict(b=1)}
    np.save(tmp_path / "a.npy", np.array(content, dtype=object), allow_pickle=True)
    found = read_pickle(tmp_path / "a.npy")
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], content["a"])


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch executed"),
        Call(eval, "open('executed', 'w')"),
        Call(subprocess.Popen, ["touch", "executed"]),
        Call(np.load, "executed"),
        Call(getattr, "text", "upper"),
        Call(torch.load, "executed"),
    ],
    ids=lambda call: call.call[0].__name__,
)
def test_code_is_named_and_never_run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in ({"a": call}, {"a": np.array([call], dtype=object)}):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(RecfaceError, match=r"a\.pkl: a pickle with code in it \(it names .*\); nothing was run"):
            read_pickle(tmp_path / "a.pkl")
        assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x80\x04", b"no pickle", pickle.dumps([1, 2]), pickle.dumps(np.arange(3))),
        pickle.dumps({"a": bytearray(8)}, 5),  # which takes the memory that it claims before it is read
    ],
)
def test_what_is_no_dict_is_one_line(content, tmp_path):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(RecfaceError, match=r"a\.pkl: not a readable pickle \(.*\); download it again") as error:
        read_pickle(tmp_path / "a.pkl")
    assert "\n" not in str(error.value)


def test_an_array_that_lies_about_its_size_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.arange(9)}, 2).replace(b"K\x09\x85", b"K\x7f\x85"))
    with pytest.raises(RecfaceError, match="damaged, or cut while it was downloaded"):
        read_pickle(tmp_path / "a.pkl")
