"""PLY files, ASCII or binary, as they list their rows. Libraries at hand believe counts, or read no mixed polygons."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {
    **dict.fromkeys(("char", "int8"), "b"),
    **dict.fromkeys(("uchar", "uint8"), "B"),
    **dict.fromkeys(("short", "int16"), "h"),
    **dict.fromkeys(("ushort", "uint16"), "H"),
    **dict.fromkeys(("int", "int32"), "i"),
    **dict.fromkeys(("uint", "uint32"), "I"),
    **dict.fromkeys(("float", "float32"), "f"),
    **dict.fromkeys(("double", "float64"), "d"),
}
"""PLY's names of types to those of struct and NumPy."""
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")
HEADER_BYTES = 100_000
Columns = Mapping[str, Any]
"""Name of a property to its values, in the order of the rows."""


@dataclass
class Element:
    """One kind of rows: each property has a name, a type, and the type of its length where it is a list."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]]


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of a PLY; everything else in the file is skipped.

    Raises:
        Exception: Of any kind where the file is damaged; `recface.files.meshes.read_mesh` guards against it.
    """
    data = path.read_bytes()
    order, elements, begin = _header(data)
    found: dict[str, Columns] = {}
    words = iter(data[begin:].split()) if not order else iter(())
    for element in elements:
        if not element.properties:
            continue
        if order:
            found[element.name], begin = _from_bytes(element, data, begin, order)
        else:
            rows = [_from_words(element, words) for _ in range(element.count)]
            found[element.name] = _columns(element, rows)
    points = np.stack([np.asarray(found["vertex"][axis], np.float64) for axis in "xyz"], axis=1)
    faces = next((found["face"][name] for name in CORNERS if name in found.get("face", {})), ())
    return points, _fans(faces)


def _columns(element: Element, rows: Sequence[Sequence[Any]]) -> Columns:
    columns = zip(*rows, strict=True) if rows else [()] * len(element.properties)
    return {name: column for (name, *_), column in zip(element.properties, columns, strict=True)}


def _fans(faces: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
    """Triangles (F, 3) of polygons, each a fan from its first corner."""
    if isinstance(faces, np.ndarray):
        first = np.repeat(faces[:, :1], max(0, faces.shape[1] - 2), axis=1)
        return np.stack([first, faces[:, 1:-1], faces[:, 2:]], axis=-1).reshape(-1, 3).astype(np.int64)
    fans = [(face[0], face[i], face[i + 1]) for face in faces for i in range(1, len(face) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


def _header(data: bytes) -> tuple[str, list[Element], int]:
    """Byte order, "" for ASCII; the elements; where the rows begin."""
    head, mark, _ = data[:HEADER_BYTES].partition(b"end_header")
    if not data.startswith(b"ply") or not mark:
        raise ValueError("no PLY header")
    begin = data.index(b"\n", len(head)) + 1
    order, elements = "", list[Element]()
    for number, line in enumerate(head.decode("ascii", "replace").splitlines(), 1):
        kind, *words = line.split() or [""]
        if kind == "format":
            order = ORDERS[words[0]]
        elif kind == "element":
            elements.append(Element(words[0], int(words[1]), []))
            if not 0 <= elements[-1].count <= len(data):  # a row takes a byte at least
                raise ValueError(f"line {number} promises {int(words[1]):,} rows in {len(data):,} bytes")
        elif kind == "property":
            elements[-1].properties.append(
                (words[-1], TYPES[words[-2]], TYPES[words[1]] if words[0] == "list" else None)
            )
    return order, elements, begin


def _from_words(element: Element, words: Iterator[bytes]) -> list[Any]:
    """A row of an ASCII file: a number for each property, or a list of numbers."""

    def several(kind: str, count: int) -> list[float]:
        found = list(itertools.islice(words, count))
        if len(found) < count:
            raise ValueError(f"it ends in the rows of {element.name}")
        return [float(word) if kind in "fd" else int(word) for word in found]

    return [
        several(kind, 1)[0] if length is None else several(kind, int(several(length, 1)[0]))
        for _, kind, length in element.properties
    ]


def _from_bytes(element: Element, data: bytes, begin: int, order: str) -> tuple[Columns, int]:
    """The columns of a binary file's element from a byte on, and where the next one begins."""
    if not element.count:
        return _columns(element, []), begin
    first, _ = _row(element, data, begin, order)
    form: list[tuple[Any, ...]] = []
    for index, ((_, kind, length), value) in enumerate(zip(element.properties, first, strict=True)):
        if length is not None:
            form += [(f"length{index}", order + length)]
        form += [(f"{index}", order + kind, (len(value),) if length is not None else ())]
    packed = np.dtype(form)
    if begin + packed.itemsize * element.count <= len(data):  # as a rule all lists are as long as the first
        rows = np.frombuffer(data, packed, element.count, begin)
        lists = [i for i, (*_, length) in enumerate(element.properties) if length is not None]
        if all((rows[f"length{i}"] == len(first[i])).all() for i in lists):
            named = {name: rows[f"{i}"] for i, (name, *_) in enumerate(element.properties)}
            return named, begin + packed.itemsize * element.count
    found = []
    for _ in range(element.count):
        row, begin = _row(element, data, begin, order)
        found.append(row)
    return _columns(element, found), begin


def _row(element: Element, data: bytes, begin: int, order: str) -> tuple[list[Any], int]:
    row: list[Any] = []
    for _, kind, length in element.properties:
        count = 1
        if length is not None:
            (count,) = struct.unpack_from(order + length, data, begin)
            begin += struct.calcsize(order + length)
        form = f"{order}{int(count)}{kind}"
        values = struct.unpack_from(form, data, begin)
        begin += struct.calcsize(form)
        row.append(values[0] if length is None else values)
    return row, begin
