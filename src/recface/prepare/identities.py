"""Photos of named people to train on: VGGFace2, CASIA-WebFace, InsightFace's records, folders, tables of photos."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from recface.data.photos import LANDMARK_COLUMNS, YES
from recface.errors import RecfaceError, SkippedError
from recface.files.guard import guarded, is_file
from recface.files.images import FORMATS
from recface.files.tables import line_of, read_table
from recface.prepare.dataset import Dataset, Row, folders_in, photos_below, within

ROWS = 100_000  # of a table of millions that are in memory at a time
FIVE = [f"P{number}{axis}" for number in range(1, 6) for axis in "XY"]
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""ArcFace's template (Deng et al. 2019): the five points in all crops of 112 pixels, whose first center is 0."""
MAGIC, HEADER = 0xCED7230A, "<IfQQ"
LONGEST_RECORD = 1 << 24


def arcface_points(size: float) -> np.ndarray:
    """The five points (5, 2) in a crop by ArcFace's template, in its pixels."""
    return (ARCFACE + 0.5) * size / 112


def vggface2(raw: Path) -> Iterator[Row]:
    """All photos with five points, of the training people and then of the test people."""
    for split in ("train", "test"):
        if not (raw / split).is_dir():
            continue
        table = raw / "bb_landmark" / f"loose_landmark_{split}.csv"
        reading = guarded(table, "CSV", "it is in bb_landmark.tar.gz")
        with reading, pd.read_csv(table, chunksize=ROWS, dtype={"NAME_ID": str}, skipinitialspace=True) as parts:
            for part in parts:
                points = part[FIVE].to_numpy(np.float64).reshape(-1, 5, 2) + 0.5
                for name, five in zip(part["NAME_ID"], points, strict=True):
                    file = f"{split}/{name}.jpg"
                    yield Row(file, within(raw, file, str(table)), name.split("/")[0], five=five, split=split)


def people_in(raw: Path, split: str = "train") -> Iterator[Row]:
    """All photos of a folder with a folder for each person."""
    for person in folders_in(raw):
        for path in photos_below(person):
            yield Row(path.relative_to(raw).as_posix(), path, person.name, split=split)


def with_arcface_points(row: Row) -> Row:
    """A photo that is a crop by ArcFace's template where it is square and of 112 pixels; else one for the detector."""
    with guarded(str(row.photo), "image"), Image.open(str(row.photo), formats=FORMATS) as photo:
        five = arcface_points(112) if photo.size == (112, 112) else None
    return dataclasses.replace(row, five=five)


def records(raw: Path) -> Iterator[Row]:
    """The photos of a record file, in the order of its index; where record 0 lists people, those records are no photos.

    Raises:
        RecfaceError: The index or the record file is damaged.
    """
    index = _index(raw / "train.idx")
    flag, labels, _ = read_record(raw / "train.rec", index[min(index)])
    last = int(labels[0]) if flag == 2 and min(index) == 0 else None
    for key in sorted(index):
        if last is None or 0 < key < last:
            yield Row(f"{key:08d}", (raw / "train.rec", index[key]))


def _index(path: Path) -> dict[int, int]:
    """Number of each record to its position."""
    with guarded(path, "index of records", "get it again"):
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        found = {int(number): int(position) for number, position in rows}
        if not found or min(found.values()) < 0:
            raise ValueError("no records")
    return found


def read_record(path: Path, position: int) -> tuple[int, np.ndarray, bytes]:
    """One record of MXNet's RecordIO: the number of its labels, its labels, and its image; 0 stands for one label.

    Raises:
        RecfaceError: There is no record at the position.
    """
    with guarded(path, "file of records", "get it again"), path.open("rb") as file:
        file.seek(position)
        magic, length = struct.unpack("<II", file.read(8))
        if magic != MAGIC or length >> 29 or not struct.calcsize(HEADER) <= length <= LONGEST_RECORD:
            raise ValueError(f"no record at byte {position:,}")
        data = file.read(length)
        if len(data) < length:
            raise ValueError(f"the record at byte {position:,} is cut off")
        flag, label, _, _ = struct.unpack_from(HEADER, data)
        begin = struct.calcsize(HEADER)
        if flag > (length - begin) // 4:
            raise ValueError(f"the record at byte {position:,} promises {flag} labels")
        labels = np.frombuffer(data, "<f4", flag, begin) if flag else np.array([label], np.float32)
    return flag, labels, data[begin + 4 * flag :]


def with_record(row: Row) -> Row:
    """The photo and the person of a record."""
    assert isinstance(row.photo, tuple)
    _, labels, image = read_record(*row.photo)
    if not len(labels) or not image:
        raise SkippedError("a record without a photo")
    return dataclasses.replace(row, photo=image, identity=str(int(labels[0])), five=arcface_points(112))


def listed(raw: Path) -> Iterator[Row]:
    """The photos of a folder's train.lst, which names aligned photos: "1 <tab> path <tab> person" a line."""
    path = raw / "train.lst"
    with guarded(path, "list of photos", "get it again"), path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            cells = line.rstrip("\n").split("\t")
            if len(cells) < 3:
                columns = "aligned, path and person, separated by tabs"
                raise RecfaceError(f"{path}: line {number}: expected {columns}; get the list again")
            parts = [part for part in cells[1].replace("\\", "/").split("/") if part]
            name = "/".join(parts[-2:])  # the list has the absolute paths of the machine where it was made
            yield Row(name, within(raw, name, f"{path}: line {number}"), cells[2], five=arcface_points(112))


def insightface(raw: Path) -> Iterator[Row]:
    """The photos of train.rec where it is there, else of train.lst."""
    if is_file(raw / "train.rec"):
        if not is_file(raw / "train.idx"):
            raise RecfaceError(f"{raw}: no train.idx beside train.rec; get it again")
        return records(raw)
    return listed(raw)


def with_record_or_file(row: Row) -> Row:
    """A record's photo and person; a row that names a file is complete."""
    return with_record(row) if isinstance(row.photo, tuple) else row


def manifest(raw: Path) -> Iterator[Row]:
    """The photos of faces.csv, in the form of docs/data.md, with its columns as labels."""
    table = read_table(raw / "faces.csv", ("file",), "a table of photos")
    folder = raw / "images" if (raw / "images").is_dir() else raw
    marked = all(column in table for column in LANDMARK_COLUMNS)
    numbers = table[LANDMARK_COLUMNS].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64) if marked else None
    for row, cells in enumerate(table.drop(columns=LANDMARK_COLUMNS, errors="ignore").to_dict("records")):
        known = numbers is not None and bool(np.isfinite(numbers[row]).all())
        yield Row(
            cells["file"],
            within(folder, cells["file"], f"{raw / 'faces.csv'}: line {line_of(table, row)}"),
            cells.get("identity", ""),
            landmarks=numbers[row].reshape(68, 2) if known and numbers is not None else None,
            framed=not known and cells.get("framed", "").lower() in YES,
            split=cells.get("split") or "train",
            extra={key: cells[key] for key in ("expression", "gender", "ethnicity") if cells.get(key)},
        )


DATASETS = (
    Dataset(
        "vggface2",
        "VGGFace2",
        ("train/n*/*.jpg | test/n*/*.jpg", "bb_landmark/loose_landmark_*.csv"),
        "robots.ox.ac.uk/~vgg/data/vgg_face2",
        "research, non-commercial",
        "five points of bb_landmark/loose_landmark_*.csv",
        vggface2,
    ),
    Dataset(
        "casia_webface",
        "CASIA-WebFace",
        ("[0-9]*/*.jpg",),
        "the Center for Biometrics and Security Research, CASIA (cbsr.ia.ac.cn)",
        "research, non-commercial",
        "ArcFace's template for crops of 112 pixels, else the detector",
        people_in,
        with_arcface_points,
    ),
    Dataset(
        "insightface",
        "InsightFace's training sets (MS1M, Glint360K, CASIA)",
        ("train.rec | train.lst", "property | train.lst"),
        "github.com/deepinsight/insightface, recognition/_datasets_",
        "research, non-commercial; the photos' own rights",
        "ArcFace's template",
        insightface,
        with_record_or_file,
    ),
    Dataset(
        "folder",
        "a folder of photos",
        ("*/*",),
        "the owner of the photos",
        "the photos' own",
        "the detector",
        people_in,
    ),
    Dataset(
        "manifest",
        "a table of photos",
        ("faces.csv",),
        "the owner of the photos (docs/data.md has the columns)",
        "the photos' own",
        "68 landmarks of the table; framed photos are resized; else the detector",
        manifest,
    ),
)
