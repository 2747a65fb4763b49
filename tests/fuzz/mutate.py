"""Seeded mutations of a file's bytes: what disks, transfers and editors do to files, and what forgers write."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from random import Random

import numpy as np

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
EXTREMES = [
    b"-1", b"0", b"1", b"2", b"007", b"99999999999", b"-5", b"9223372036854775808", b"1e308", b"-1e999", b"nan", b"inf",
    b"1_0", b"0x10", b"1.5", b"\xc2\xb2", b"\xd9\xa3", b"", b"null", b"true", b"[]", b"{}", b'"a"', b"x", b"9" * 5000,
]  # fmt: skip
TOKENS = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\t", b" ", b",", b",,", b'"', b"'", b"#", b"\\",
    b"\\\n", b"[", b"]", b"{", b"}", b":", b"- ", b"&a ", b"*a", b"<<: *a",
    b"!!python/object/apply:os.mkdir [x]", b"/", b"../",
    b"/etc/passwd", b"NA", b"None", b"null", b"NaN", b"Infinity", b"\xe2\x80\xa8", b"\x1b[31m", b"[" * 3000,
    b'{"a":' * 3000,
]  # fmt: skip
DTYPES = [
    "<f4",
    ">f4",
    "<f8",
    ">f8",
    "<i8",
    "|b1",
    "|u1",
    "|O",
    "<U9",
    "|S3",
    "<c8",
    "<M8[s]",
    "|V4",
    "<f2",
    "V0",
    "()",
]
SHAPES = [
    "()",
    "(0,)",
    "(1,)",
    "(-1,)",
    "(2, 3)",
    "(99999999999,)",
    "(4294967296, 4294967296)",
    "(True,)",
    "((1,),)",
    "x",
]


class Trap:
    """An object whose unpickling makes a folder, named as the trap is: a reader that runs it is caught."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (self.folder,)


def mutated(data: bytes, random: Random, trap: str = "trap") -> bytes:
    """One to three mutations of a file's content, as `random` draws them; `trap` is what a pickle would make."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if data[:2] == b"PK" and random.random() < 0.6:
            data = _in_archive(data, random, trap)
        elif data[:6] == b"\x93NUMPY" and random.random() < 0.5:
            data = _npy(data, random, trap)
        elif _is_text(data) and random.random() < 0.6:
            data = random.choice(OF_TEXT)(data, random)
        else:
            data = random.choice(OF_BYTES)(data, random)
    return pickle.dumps(Trap(trap)) if random.random() < 0.01 else data


def _is_text(data: bytes) -> bool:
    return b"\x00" not in data[:1000] and sum(byte < 9 or byte > 126 for byte in data[:1000]) < 50


def _place(data: bytes, random: Random) -> int:
    """An offset; half of them in the first bytes, where headers are."""
    return random.randrange(min(len(data), 200) + 1) if random.random() < 0.5 else random.randrange(len(data) + 1)


def _part(data: bytes, random: Random) -> tuple[int, int]:
    begin = _place(data, random)
    return begin, min(len(data), begin + int(random.expovariate(1 / 30)) + 1)


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[min(_place(data, random), len(data) - 1)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _noise(data: bytes, random: Random) -> bytes:
    begin, end = _part(data, random)
    return data[:begin] + random.randbytes(end - begin) + data[end:]


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _duplicate(data: bytes, random: Random) -> bytes:
    begin, end = _part(data, random)
    return data[:end] + data[begin:end] * random.choice((1, 1, 2, 50)) + data[end:]


def _delete(data: bytes, random: Random) -> bytes:
    begin, end = _part(data, random)
    return data[:begin] + data[end:]


def _splice(data: bytes, random: Random) -> bytes:
    begin, end = _part(data, random)
    place = _place(data, random)
    return data[:place] + data[begin:end] + data[place + end - begin :]


def _insert(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    return data[:place] + random.choice(TOKENS) + data[place:]


def _field(data: bytes, random: Random) -> bytes:
    """A binary number of one to eight bytes becomes an extreme one, as counts and sizes of headers do."""
    place, size = _place(data, random), random.choice((1, 2, 4, 8))
    value = random.choice((0, 1, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1))
    return data[:place] + value.to_bytes(size, random.choice(("little", "big"))) + data[place + size :]


def _number(data: bytes, random: Random) -> bytes:
    found = list(NUMBER.finditer(data[:200_000]))
    if not found:
        return _insert(data, random)
    match = random.choice(found)
    return data[: match.start()] + random.choice(EXTREMES) + data[match.end() :]


def _lines(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    what = random.randrange(6)
    if what == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif what == 1:
        del lines[one]
    elif what == 2:
        lines.insert(other, lines[one])
    elif what == 3:
        lines[one] += lines[other]
    elif what == 4:
        lines[one] = b"  " * random.randrange(1, 4) + lines[one].lstrip()
    else:
        return random.choice((b"\r\n", b"\r", b"\n\n")).join(lines)
    return b"\n".join(lines)


def _word(data: bytes, random: Random) -> bytes:
    """A word of the file takes the place of another: keys and values change places."""
    found = list(re.finditer(rb"[\w.+-]+", data[:200_000]))
    if len(found) < 2:
        return _insert(data, random)
    one, other = random.choice(found), random.choice(found)
    return data[: one.start()] + other[0] + data[one.end() :]


def _encoding(data: bytes, random: Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(random.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig")), "replace")


OF_BYTES = (_flip, _flip, _noise, _truncate, _duplicate, _delete, _splice, _insert, _field, _field)
OF_TEXT = (_number, _number, _number, _lines, _lines, _word, _word, _insert, _encoding)


def _npy(data: bytes, random: Random, trap: str) -> bytes:
    """The header of an array says something else, or the array becomes one of objects."""
    length = int.from_bytes(data[8:10], "little")
    header, rest = data[10 : 10 + length], data[10 + length :]
    what = random.randrange(6)
    if what == 0:
        header = re.sub(rb"'descr': *[^,]+", b"'descr': " + repr(random.choice(DTYPES)).encode(), header)
    elif what == 1:
        header = re.sub(rb"\([^)]*\)", random.choice(SHAPES).encode(), header)
    elif what == 2:
        header = header.replace(b"False", random.choice((b"True", b"None", b"open('x')")))
    elif what == 3:
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.array([Trap(trap)], dtype=object), allow_pickle=True)
        return stream.getvalue()
    elif what == 4:
        header = random.choice(OF_BYTES)(header, random)
    else:
        rest = random.choice(OF_BYTES)(rest, random)
    return data[:8] + (len(header) % 65536).to_bytes(2, "little") + header + rest


def _in_archive(data: bytes, random: Random, trap: str) -> bytes:
    """A member of a zip archive changes, with a checksum that is right: its content, name, size or compression."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return random.choice(OF_BYTES)(data, random)
    if not members:
        return data
    row = random.randrange(len(members))
    name, content = members[row]
    what, compression = random.randrange(10), zipfile.ZIP_STORED
    if what < 5:
        change = _npy if content[:6] == b"\x93NUMPY" and random.random() < 0.7 else None
        content = change(content, random, trap) if change else random.choice(OF_BYTES)(content, random)
        members[row] = (name, content)
    elif what == 5:
        del members[row]
    elif what == 6:
        members[row] = (random.choice(("../" + name, "/" + name, name.upper(), "", "a\nb", name + ".npy")), content)
    elif what == 7:
        other = random.choice(members)
        members[row] = (name, other[1])
    elif what == 8:
        members[row], compression = (name, content[:200] + bytes(60_000_000)), zipfile.ZIP_DEFLATED
    else:
        programs = [index for index, (name, _) in enumerate(members) if name.endswith(".pkl")]
        for index in programs:  # the heart of a checkpoint
            members[index] = (members[index][0], pickle.dumps(Trap(trap), protocol=2))
        members += [] if programs else [members[row]]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression, compresslevel=1) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return stream.getvalue()
