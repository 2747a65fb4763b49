"""Arrays out of pickles that others wrote: names in a pickle become inert stand-ins, so that nothing in it can run."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import guarded

LARGEST_BYTES = 2_000_000_000


class Inert:
    """Stands for an object of a known class: it keeps the state that a pickle gives it and does nothing."""

    state: Any = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None: ...


class ArrayType:
    """Stands for `numpy.dtype`: its text, and the byte order of its state."""

    def __init__(self, text: Any, *_: Any) -> None:
        self.text, self.order = text.decode() if isinstance(text, bytes) else str(text), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1]) if state[1] in ("<", ">") else "="


class Array:
    """Stands for `numpy.ndarray`: `value` is the array, or a list where it holds objects."""

    value: Any = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, data = state
        if kind.text.startswith("O"):
            self.value = data
            return
        dtype = np.dtype(kind.text).newbyteorder(kind.order)
        if dtype.kind not in "biuf":
            raise ValueError(f"arrays of {dtype}")
        raw = data.encode("latin1") if isinstance(data, str) else data
        if math.prod(shape) * dtype.itemsize != len(raw):
            raise ValueError("an array without the size that it claims")
        flat = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
        self.value = flat.reshape(shape, order="F" if by_columns else "C")


def _encode(text: str, _: str = "latin1") -> bytes:
    return text.encode("latin1")


STAND_INS: dict[str, Callable[..., Any]] = {
    **{f"numpy.{core}.multiarray._reconstruct": Array for core in ("core", "_core")},
    **dict.fromkeys(("numpy.ndarray", "chumpy.ch.Ch", "collections.OrderedDict"), Inert),
    **dict.fromkeys((f"scipy.sparse.{place}.csc_matrix" for place in ("csc", "_csc")), Inert),
    **dict.fromkeys(("copy_reg._reconstructor", "copyreg._reconstructor"), Inert),
    **dict.fromkeys(("__builtin__.object", "builtins.object"), Inert),
    **dict.fromkeys(("torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes"), Inert),
    "numpy.dtype": ArrayType,
    "_codecs.encode": _encode,
}
"""All names that face models' pickles hold, old and new; tensors, of which none is needed, are not rebuilt."""


class InertUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, for names that have stand-ins alone.

    In C, a forged index takes gigabytes before anything is looked at; so would a byte array in Python.
    """

    dispatch = {code: read for code, read in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}

    def __init__(self, stream: BinaryIO, encoding: str, stand_ins: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(stream, encoding=encoding)
        self.stand_ins = stand_ins

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in; RecfaceError, which names it, where there is none."""
        if (stand_in := self.stand_ins.get(f"{module}.{name}")) is None:
            raise RecfaceError(f"it names {module}.{name}"[:120])
        return stand_in


def read_pickle(path: str | Path, remedy: str = "download it again") -> dict[str, Any]:
    """Read a pickled dict: its arrays, those inside chumpy's objects too, texts and numbers; the rest is left out.

    Args:
        path: A pickle of Python 2 or 3, or a .npy file that holds one dict.
        remedy: What to do where the file cannot be read.

    Raises:
        RecfaceError: The file is missing, damaged or no dict, or names code, of which nothing was run.
    """
    with guarded(path, "pickle", remedy, LARGEST_BYTES):
        stream = io.BytesIO(Path(path).read_bytes())  # which never gives more than it has
        if stream.getbuffer()[:6] == np.lib.format.MAGIC_PREFIX:
            read_header = getattr(np.lib.format, f"read_array_header_{np.lib.format.read_magic(stream)[0]}_0")
            read_header(stream)
        try:
            content = _plain(InertUnpickler(stream, "latin1", STAND_INS).load())
        except RecfaceError as error:
            raise RecfaceError(f"{path}: a pickle with code in it ({error}); nothing was run; {remedy}") from None
        except Exception:
            raise ValueError("damaged, or cut while it was downloaded") from None
        if isinstance(content, list) and len(content) == 1:
            (content,) = content
        if not isinstance(content, dict):
            raise ValueError(f"it must hold a dict, not a {type(content).__name__}")
        plain = {key: _plain(value) for key, value in content.items() if isinstance(key, str)}
    return {key: value for key, value in plain.items() if isinstance(value, (np.ndarray, str, int, float))}


def _plain(value: Any) -> Any:
    """What a stand-in holds: an array, or the one inside chumpy's object."""
    if isinstance(value, Inert) and isinstance(value.state, dict):
        value = value.state.get("x")
    return value.value if isinstance(value, Array) else value
