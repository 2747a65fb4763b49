"""Sampler, loader and memory at the size of the papers' data: see docs/data.md, "Large datasets".

Photos are noise, smooth as faces are; stores of millions of rows are links to a few shards.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from measured import Line, best, in_turn, keep
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from recface.data import MixedDataModule
from recface.data.sampler import QuotaSampler
from recface.data.sources import store_source
from recface.data.store import (
    HEADER,
    INDEX,
    LABELS,
    StoredPhoto,
    finish_store,
    shard_path,
    write_shard,
)
from recface.files.atomic import write_json
from recface.files.json_files import read_json

SIZE, BATCH, STEP_SECONDS = 224, 48, 0.4  # a small training step on two cores: docs/performance.md
MILLION = 1_000_000
ABOUT = {"name": "noise", "size": SIZE, "framing": "the suite's", "license": "CC0-1.0", "source": "noise"}


def photos(count: int) -> list[StoredPhoto]:
    """Photos of about 15 kB, as VGGFace2's are at 224 pixels; 50 of a person."""
    random, found = np.random.default_rng(0), []
    for number in range(count):
        stream = io.BytesIO()
        coarse = Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
        found.append(StoredPhoto(f"{number}.jpg", stream.getvalue(), f"{number // 50:06d}", None, "train"))
    return found


def sampling(repeats: int) -> list[Line]:
    """A batch from two sources of three million rows each, and one of four photos of each of 85,000 people."""
    half = 3 * MILLION
    people = np.sort(np.random.default_rng(0).integers(0, 85_000, half)).astype(np.int32)
    plain = QuotaSampler([half, half], [1, 1], BATCH, 1000, seed=0)
    named = QuotaSampler([half, half], [1, 1], BATCH, 1000, 0, identities=[people, None], photos_of_person=4)

    def whole() -> None:
        for source in range(2):
            np.random.default_rng([0, source, 0]).permutation(half)

    def batches(sampler: QuotaSampler) -> float:
        return best(lambda: [sampler.batch(step) for step in range(0, 1000, 50)], repeats) / 20

    before = best(whole, 2)
    what = "a batch of 48 of 6 million rows, against permuting them at every step"
    return [
        Line(what, batches(plain), before, "ms", "ours <= 1"),
        Line("the same with four photos of each of 85,000 people", batches(named), before, "ms", "ours <= 1"),
    ]


def reading(stored: Sequence[StoredPhoto], folder: Path, repeats: int) -> list[Line]:
    """Bytes of photos at random from Arrow and from Parquet, and photos from the loader against bare decoding."""
    write_shard(folder, 0, stored)
    finish_store(folder, ABOUT)
    table = pa.table({"image": pa.array([photo.image for photo in stored], pa.large_binary())})
    parquet.write_table(table, folder / "photos.parquet", row_group_size=64, compression="none", use_dictionary=False)
    rows = np.random.default_rng(1).permutation(len(stored))[: 10 * BATCH].tolist()
    source = store_source(folder, SIZE)
    batch = source.images.read.__self__.store._shard(0)[0]  # type: ignore[union-attr]
    file = parquet.ParquetFile(folder / "photos.parquet", memory_map=True)
    arrow, other = in_turn(
        lambda: [batch["image"][row].as_py() for row in rows],
        lambda: [file.read_row_group(row // 64)["image"][row % 64].as_py() for row in rows],
        repeats=repeats,
    )
    steps = len(rows) // BATCH
    data = MixedDataModule([source], [1.0], 80, BATCH, steps, seed=0)

    def bare() -> None:
        for begin in range(0, len(rows), BATCH):
            images = [bytearray(stored[row].image) for row in rows[begin : begin + BATCH]]
            torch.stack(
                [decode_jpeg(torch.frombuffer(image, dtype=torch.uint8), ImageReadMode.RGB) for image in images]
            )

    loaded, decoded = in_turn(lambda: list(data.train_dataloader()), bare, repeats=repeats)
    rate = 1000 * len(rows) / loaded
    step = "photos of 224 pixels from the loader, in one thread, against what a small training step consumes"
    return [
        Line("bytes of a photo at random, Arrow against Parquet", arrow / len(rows), other / len(rows), "ms"),
        Line("the same, Arrow against webdataset", arrow / len(rows), "no access by row: docs/data.md", "ms"),
        Line(
            "photos of 224 pixels from the loader, against bare decoding into a batch, in one thread",
            *(rate, 1000 * len(rows) / decoded),
            *("1/s", "ratio >= 0.9"),
            rate=True,
        ),
        Line(step, rate, BATCH / STEP_SECONDS, "1/s", "ratio >= 5", rate=True),
    ]


def write_large(small: Path, folder: Path, rows: int) -> None:
    """A store whose shards are links to those of a small one."""
    header = read_json(small / HEADER)
    count = -(-rows // header["photos"])
    folder.mkdir()
    for number in range(count):
        os.link(shard_path(small, 0), shard_path(folder, number))
    people = np.arange(count * header["photos"], dtype=np.int32) // 50
    names = pa.array([f"{person:06d}" for person in range(people[-1] + 1)])
    index = {
        "identity": pa.DictionaryArray.from_arrays(people, names),
        "split": pa.DictionaryArray.from_arrays(np.zeros(len(people), np.int32), pa.array(["train"])),
        "landmarks": np.zeros(len(people), np.uint8),
    }
    with pa.ipc.new_file(str(folder / INDEX), LABELS) as writer:
        writer.write_batch(pa.record_batch(index, LABELS))
    digest = hashlib.sha256((folder / INDEX).read_bytes()).hexdigest()
    counts = {"photos": len(people), "people": len(names), "index": digest}
    write_json(folder / HEADER, header | counts | {"shards": header["shards"] * count})


def kilobytes(field: str) -> int:
    """A line of this process's status, such as VmRSS."""
    return int(re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def train_on(folder: Path) -> None:
    """Print how many bytes more than before a source of a store, and 40 batches of it, take at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = kilobytes("VmRSS")
    data = MixedDataModule([store_source(folder, SIZE, split="train")], [1.0], 80, BATCH, steps=40, seed=0)
    for _ in data.train_dataloader():
        pass
    print(1024 * (kilobytes("VmHWM") - before))


def memory(small: Path, folder: Path) -> list[Line]:
    """Resident memory at half a million and at five million rows."""
    found = []
    for rows in (MILLION // 2, 5 * MILLION):
        write_large(small, folder / str(rows), rows)
        command = [sys.executable, __file__, "--train-on", str(folder / str(rows))]
        found.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    growth = (found[1] - found[0]) / (4.5 * MILLION)
    photo = 3 * SIZE * SIZE
    return [
        Line(
            "resident memory of a source of 5 million photos and its loader, against all photos decoded",
            *(found[1] / 1e6, 5 * photo, "MB", "ours <= 1000"),
        ),
        Line("its growth a row, against a decoded photo", growth, float(photo), "bytes", "ours <= 64"),
    ]


def measured(repeats: int) -> list[Line]:
    """All lines."""
    with tempfile.TemporaryDirectory() as place:
        small = Path(place, "small")
        lines = sampling(repeats) + reading(photos(1000), small, repeats)
        return lines + (memory(small, Path(place)) if Path("/proc/self/clear_refs").exists() else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="of which the best counts")
    parser.add_argument("--train-on", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.train_on:
        train_on(options.train_on)
    else:
        keep("loader", measured(options.repeats))


if __name__ == "__main__":
    main()
