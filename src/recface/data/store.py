"""A store of prepared photos: Arrow files of JPEG crops with their labels, mapped into memory and read by row.

`write_shard` and `finish_store` write one, `PhotoStore` reads it. A photo is read in microseconds wherever it lies, so
that a source of any size can be shuffled as a whole (docs/data.md, "Large datasets").
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import AfterValidator
from torchvision.io import ImageReadMode, decode_jpeg

from recface.errors import RecfaceError, one_line
from recface.files.atomic import replacing, write_json
from recface.files.guard import guarded
from recface.files.json_files import read_json
from recface.settings.declared import Count, Settings, Whole, between, mistakes

VERSION = 1
HEADER, INDEX = "store.json", "index.arrow"
PLACEMENT = "placement"
"""Label of a photo: complex turn and shift; pixel (x, y) of its file lies at turn (x - iy) + shift in the crop."""
NUMBERS = 68 * 2
ROWS = pa.schema(
    {
        "file": pa.string(),
        "image": pa.large_binary(),
        "identity": pa.string(),
        "landmarks": pa.list_(pa.float32(), NUMBERS),
        "split": pa.string(),
        "extra": pa.map_(pa.string(), pa.string()),
    }
)
"""Columns of a shard; none has nulls: unknown identities are empty, unknown landmarks NaN."""
LABELS = pa.schema(
    {
        "identity": pa.dictionary(pa.int32(), pa.string()),
        "split": pa.dictionary(pa.int32(), pa.string()),
        "landmarks": pa.uint8(),
    }
)
"""Columns of the index, one row a photo: what the order of training needs to know."""
REMEDY = "prepare the store again"
MOST_OPEN = 256  # shards that are mapped at a time: each takes one of the 1,024 files that a process may have open


@dataclass(frozen=True)
class StoredPhoto:
    """A row of a store."""

    file: str
    image: bytes  # JPEG, S x S, RGB
    identity: str  # "" = unknown
    landmarks: np.ndarray | None  # (68, 2) float32, normalized to -1..1 (x right, y up); None = unknown
    split: str
    extra: dict[str, str] = field(default_factory=dict)


def _digest_of(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"must be a SHA-256, not {text[:70]!r}")
    return text


Digest = Annotated[str, AfterValidator(_digest_of)]


class ShardHeader(Settings):
    """A shard, as the header tells of it."""

    rows: Whole
    bytes: Count
    sha256: Digest


class StoreHeader(Settings):
    """The content of store.json."""

    version: Annotated[int, between(VERSION, VERSION, whole=True)]
    name: str
    size: Annotated[int, between(8, 1024, whole=True)]
    framing: str
    license: str
    source: str
    photos: Whole
    people: Whole
    index: Digest
    shards: list[ShardHeader]


def shard_path(folder: Path, number: int) -> Path:
    """Path of a shard of a store."""
    return folder / f"shard-{number:05d}.arrow"


def write_shard(folder: Path, number: int, photos: Sequence[StoredPhoto]) -> Path:
    """Write a shard of a store, whole or not at all; an existing one of that number is replaced.

    Args:
        folder: The store.
        number: Of the shard, from 0 without gaps.
        photos: Its rows, in memory; none is right too, for a part of a dataset without a usable photo.
    """
    unknown = np.full(NUMBERS, np.nan, np.float32)
    marks = [unknown if photo.landmarks is None else np.asarray(photo.landmarks, np.float32) for photo in photos]
    flat = np.concatenate([part.reshape(NUMBERS) for part in marks]) if marks else np.empty(0, np.float32)
    columns = {
        "file": [photo.file for photo in photos],
        "image": [photo.image for photo in photos],
        "identity": [photo.identity for photo in photos],
        "landmarks": pa.FixedSizeListArray.from_arrays(pa.array(flat), NUMBERS),
        "split": [photo.split for photo in photos],
        "extra": [list(photo.extra.items()) for photo in photos],
    }
    path = shard_path(folder, number)
    _write(path, pa.record_batch(columns, ROWS))
    return path


def finish_store(folder: Path, header: Mapping[str, Any]) -> Path:
    """Write the index and then store.json, which makes a folder of shards a store; returns the latter's path.

    Args:
        folder: With shards from number 0 on.
        header: `name`, `size` (S), `framing`, `license` and `source`; counts and digests are added.

    Raises:
        RecfaceError: A shard is missing or damaged, or the header is incomplete.
    """
    shards, known = [], [np.empty(0, np.uint8)]
    texts: dict[str, list[pa.Array]] = {"identity": [], "split": []}
    for number in range(len(list(folder.glob("shard-*.arrow")))):
        path = shard_path(folder, number)
        batch, _ = _read(path, ROWS)
        for name, parts in texts.items():
            parts.append(batch[name].dictionary_encode())  # a copy, so that the shard closes
        known.append(np.isfinite(_landmarks(batch)).all(axis=(1, 2)).astype(np.uint8))
        shards.append({"rows": batch.num_rows, "bytes": path.stat().st_size, "sha256": _sha256(path)})
    index = {name: _coded(parts) for name, parts in texts.items()} | {"landmarks": pa.array(np.concatenate(known))}
    _write(folder / INDEX, pa.record_batch(index, LABELS))
    counts = {"photos": len(index["landmarks"]), "people": len(index["identity"].dictionary)}
    content = {"version": VERSION, **header, **counts, "index": _sha256(folder / INDEX), "shards": shards}
    _checked(content, folder / HEADER)
    write_json(folder / HEADER, content)
    return folder / HEADER


class PhotoStore:
    """A finished store; workers of a loader get it by its path, and open it for themselves.

    Attributes:
        folder: Where it lies.
        header: The content of store.json.
        people: Names of the people, sorted.
        identity: (N,) int32, indices of `people`; -1 = unknown.
        splits: Names of the splits, sorted.
        split: (N,) int32, indices of `splits`; -1 = none.
        has_landmarks: (N,) bool.

    Raises:
        RecfaceError: The folder holds no store, or one that is damaged or half written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / HEADER
        if not path.is_file():
            raise RecfaceError(f"{self.folder}: no {HEADER} there; give a store that `recface prepare` has finished")
        self.header = _checked(read_json(path, "store of photos", REMEDY), path)
        self.ends = np.cumsum([shard.rows for shard in self.header.shards], dtype=np.int64)
        for number, shard in enumerate(self.header.shards):
            _require_size(shard_path(self.folder, number), shard.bytes)
        if _sha256(self.folder / INDEX) != self.header.index:
            raise RecfaceError(f"{self.folder / INDEX}: is not the one that {HEADER} tells of; {REMEDY}")
        index, _ = _read(self.folder / INDEX, LABELS)
        rows = int(self.ends[-1]) if len(self.ends) else 0
        if not index.num_rows == rows == self.header.photos:
            raise RecfaceError(f"{self.folder}: {index.num_rows} labels for {rows} photos; {REMEDY}")
        self.people, self.splits = (index[name].dictionary.to_pylist() for name in ("identity", "split"))
        self.identity, self.split = (
            index[name].indices.fill_null(-1).to_numpy(zero_copy_only=False) for name in ("identity", "split")
        )
        self.has_landmarks = index["landmarks"].to_numpy().astype(bool)
        self._open: dict[int, tuple[pa.RecordBatch, mmap.mmap]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}

    def __len__(self) -> int:
        return self.header.photos

    @property
    def size(self) -> int:
        """Width and height S of the photos."""
        return self.header.size

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Decode photos (B, 3, S, S) uint8, channels last in memory: whoever converts them to floats reorders them too.

        Raises:
            RecfaceError: One is damaged; the message names it.
        """
        found = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for place, batch, within in self._places(rows):
            try:
                found[place] = decoded(batch["image"][within].as_py(), self.size)
            except (RuntimeError, ValueError) as error:
                name = batch["file"][within].as_py()
                raise RecfaceError(
                    f"{self.folder}: row {rows[place]} ({name}): not a readable photo ({one_line(error, 80)}); {REMEDY}"
                ) from None
        return found.transpose(0, 3, 1, 2)

    def landmarks(self, rows: np.ndarray) -> np.ndarray:
        """Landmarks (B, 68, 2) float32, normalized to -1..1 (x right, y up); NaN = unknown."""
        found = np.empty((len(rows), 68, 2), np.float32)
        for place, batch, within in self._places(rows):
            found[place] = _landmarks(batch)[within]
        return found

    def photo(self, row: int) -> StoredPhoto:
        """A row as it was written."""
        ((_, batch, within),) = self._places(np.array([row]))
        cells = {name: batch[name][within].as_py() for name in ("file", "image", "identity", "split")}
        marks = _landmarks(batch)[within].copy() if self.has_landmarks[row] else None
        return StoredPhoto(**cells, landmarks=marks, extra=dict(batch["extra"][within].as_py()))

    def files(self, rows: np.ndarray) -> list[str]:
        """Names of the photos that rows were made of."""
        found = {place: batch["file"][within].as_py() for place, batch, within in self._places(rows)}
        return [found[place] for place in range(len(rows))]

    def changed_shards(self) -> list[Path]:
        """Shards that differ from what the header tells of them; reads all."""
        paths = {shard_path(self.folder, number): shard for number, shard in enumerate(self.header.shards)}
        return [path for path, shard in paths.items() if _sha256(path) != shard.sha256]

    def _places(self, rows: np.ndarray) -> Iterator[tuple[int, pa.RecordBatch, int]]:
        """Place in `rows`, shard, and row of the shard; by shards, of which no page stays in this process's memory."""
        rows = np.asarray(rows, np.int64)
        owners = np.searchsorted(self.ends, rows, side="right")
        for number in np.unique(owners):
            batch, mapped = self._shard(int(number))
            for place in np.flatnonzero(owners == number):
                yield int(place), batch, int(rows[place] - self.ends[number] + batch.num_rows)
            if hasattr(mmap, "MADV_DONTNEED"):  # the system keeps the pages that it has room for
                mapped.madvise(mmap.MADV_DONTNEED)

    def _shard(self, number: int) -> tuple[pa.RecordBatch, mmap.mmap]:
        if number not in self._open:
            if len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open)))
            path, expected = shard_path(self.folder, number), self.header.shards[number].rows
            batch, mapped = _read(path, ROWS)
            if batch.num_rows != expected:
                raise RecfaceError(f"{path}: {batch.num_rows} rows, not {expected}; {REMEDY}")
            self._open[number] = batch, mapped
        return self._open[number]


def decoded(image: bytes, size: int) -> np.ndarray:
    """Decode a JPEG to (S, S, 3) uint8, by torchvision: twice as fast as Pillow, with the same pixels.

    Raises:
        RuntimeError, ValueError: It is damaged, or of another size.
    """
    if len(image) > 6 * size * size + 65_536:  # bounds what a photo of a false size can fill
        raise ValueError(f"{len(image):,} bytes for {size} x {size} pixels")
    pixels = decode_jpeg(torch.frombuffer(bytearray(image), dtype=torch.uint8), ImageReadMode.RGB)
    if pixels.shape[1:] != (size, size):
        raise ValueError(f"{pixels.shape[2]} x {pixels.shape[1]} pixels, not {size} x {size}")
    return pixels.permute(1, 2, 0).numpy()  # as it lies in memory


def _landmarks(batch: pa.RecordBatch) -> np.ndarray:
    """(N, 68, 2) of a shard, mapped."""
    return batch["landmarks"].values.to_numpy().reshape(-1, 68, 2)


def _coded(parts: list[pa.DictionaryArray]) -> pa.DictionaryArray:
    """Encoded texts as indices of their sorted names; null where empty."""
    column = pa.chunked_array(parts, LABELS.field("identity").type).unify_dictionaries().combine_chunks()
    names = pa.array(sorted(set(column.dictionary.to_pylist()) - {""}), pa.string())
    return pa.DictionaryArray.from_arrays(pc.index_in(column.dictionary, names).take(column.indices), names)


def _write(path: Path, batch: pa.RecordBatch) -> None:
    with replacing(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _read(path: Path, schema: pa.Schema) -> tuple[pa.RecordBatch, mmap.mmap]:
    """The one batch of an Arrow file, mapped; nothing in it points outside of the file."""
    with guarded(path, "part of a store", REMEDY), path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.py_buffer(mapped))
        if reader.schema != schema or reader.num_record_batches != 1:
            raise ValueError(f"its columns must be {', '.join(schema.names)}, in one batch")
        batch = reader.get_batch(0)
        batch.validate(full=True)
        if batch.nbytes > len(mapped):
            raise ValueError("it must not be compressed")
        full = [batch["landmarks"]] if schema == LABELS else [*batch.columns, batch["landmarks"].values]
        if any(column.null_count for column in full):
            raise ValueError("a cell without a value")
    return batch, mapped


def _require_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found is None:
        raise RecfaceError(f"{path}: no such file; {REMEDY}")
    if found != size:
        raise RecfaceError(f"{path}: {found:,} bytes, not {size:,}, so it is damaged; {REMEDY}")


def _sha256(path: Path) -> str:
    with guarded(path, "part of a store", REMEDY), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(content: Mapping[str, Any], path: Path) -> StoreHeader:
    """The header, whose keys and types are right."""
    if found := mistakes(StoreHeader, content):
        place, text = found[0]
        raise RecfaceError(f"{path}: {'.'.join(map(str, place))} {text}; {REMEDY}")
    return StoreHeader.model_validate(content)
