"""Photos and pair lists of verification benchmarks: LFW, CFP-FP, AgeDB-30, InsightFace's .bin, YouTube Faces."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from recface.files.guard import guarded, is_file
from recface.files.verification_bin import read_verification_bin
from recface.metrics.readers.pairs import FOLDS, consecutive_folds, read_pairs
from recface.prepare.dataset import Dataset, Pair, Row, photos_below, within
from recface.prepare.identities import arcface_points, people_in

AGEDB_NAME = re.compile(r"\d+_(?P<person>.+)_(?P<age>\d+)_(?P<gender>[mf])")


def lfw(raw: Path) -> Iterator[Row]:
    """All photos, of all people."""
    return people_in(_photos_of_lfw(raw), split="test")


def _photos_of_lfw(raw: Path) -> Path:
    return next(path for path in (raw / "lfw", raw / "lfw-deepfunneled", raw / "lfw_funneled") if path.is_dir())


def lfw_pairs(raw: Path) -> Iterator[Pair]:
    """The ten folds of pairs.txt (View 2): each as many pairs of one person as of two."""
    pairs = read_pairs(raw / "pairs.txt")
    first, second = ([f"{name.rpartition('_')[0]}/{name}.jpg" for name in pairs[side]] for side in ("first", "second"))
    yield from zip(first, second, pairs["same"].tolist(), pairs["fold"].tolist(), strict=True)


def bins(raw: Path) -> Iterator[Row]:
    """The photos of every .bin of a folder, two for each pair in turn; nobody is named."""
    for path in _bins(raw):
        photos, _ = read_verification_bin(path)
        for number, data in enumerate(photos):
            yield Row(f"{path.stem}/{number:05d}", data, five=arcface_points(112), split="test")


def bin_pairs(raw: Path) -> Iterator[Pair]:
    """The pairs of every .bin, in ten consecutive folds of each."""
    for path in _bins(raw):
        _, same = read_verification_bin(path)
        for number, (known, fold) in enumerate(zip(same.tolist(), consecutive_folds(len(same)).tolist(), strict=True)):
            first, second = (f"{path.stem}/{2 * number + side:05d}" for side in (0, 1))
            yield first, second, known, fold


def _bins(raw: Path) -> list[Path]:
    return sorted(raw.glob("*.bin"))


def cfp_fp(raw: Path) -> Iterator[Row]:
    """Photos of cfp_fp.bin where it is there, else those of the official folder: frontal and profile ones."""
    if is_file(raw / "cfp_fp.bin"):
        yield from _only(bins(raw), "cfp_fp/")
        return
    for path in photos_below(raw / "Data" / "Images"):
        file = path.relative_to(raw).as_posix()
        yield Row(file, path, path.parts[-3], split="test", extra={"view": path.parts[-2]})


def cfp_fp_pairs(raw: Path) -> Iterator[Pair]:
    """The ten splits of frontal against profile photos."""
    if is_file(raw / "cfp_fp.bin"):
        yield from (pair for pair in bin_pairs(raw) if pair[0].startswith("cfp_fp/"))
        return
    names = [_cfp_names(raw, raw / "Protocol" / f"Pair_list_{view}.txt") for view in "FP"]
    for fold in range(FOLDS):
        for same in (True, False):
            path = raw / "Protocol" / "Split" / "FP" / f"{fold + 1:02d}" / ("same.txt" if same else "diff.txt")
            with guarded(path, "list of pairs", "it is in the dataset's folder Protocol"), path.open() as file:
                for first, second in csv.reader(file):
                    yield names[0][int(first)], names[1][int(second)], same, fold


def _cfp_names(raw: Path, path: Path) -> dict[int, str]:
    """Number of each photo to its path; the list's paths begin at its own folder."""
    with guarded(path, "list of photos", "it is in the dataset's folder Protocol"):
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        return {
            int(number): within(raw, name.removeprefix("../"), str(path)).relative_to(raw).as_posix()
            for number, name in rows
        }


def agedb_30(raw: Path) -> Iterator[Row]:
    """Photos of agedb_30.bin where it is there, else AgeDB's own, which name person, age and sex."""
    if is_file(raw / "agedb_30.bin"):
        yield from _only(bins(raw), "agedb_30/")
        return
    for path in photos_below(raw):
        if found := AGEDB_NAME.fullmatch(path.stem):
            extra = {"age": found["age"], "gender": found["gender"]}
            yield Row(path.relative_to(raw).as_posix(), path, found["person"], split="test", extra=extra)


def agedb_30_pairs(raw: Path) -> Iterator[Pair]:
    """The pairs of agedb_30.bin: AgeDB's own folder has no list of them."""
    if is_file(raw / "agedb_30.bin"):
        yield from (pair for pair in bin_pairs(raw) if pair[0].startswith("agedb_30/"))


def _only(rows: Iterator[Row], beginning: str) -> Iterator[Row]:
    return (row for row in rows if row.file.startswith(beginning))


def ytf(raw: Path) -> Iterator[Row]:
    """All frames with the face that the dataset's own detector found."""
    folder = raw / "frame_images_DB"
    for table in sorted(folder.glob("*.labeled_faces.txt")):
        person = table.name.removesuffix(".labeled_faces.txt")
        with guarded(table, "list of faces", "get it again"), table.open(encoding="utf-8", newline="") as file:
            rows = [(cells[0].replace("\\", "/"), [float(cell) for cell in cells[2:6]]) for cells in csv.reader(file)]
        for name, (x, y, width, height) in rows:
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            path = within(folder, name, str(table))
            yield Row(name, path, person, box=box, split="test", extra={"video": name.rpartition("/")[0]})


_RESEARCH = "research, non-commercial"
DATASETS = (
    Dataset(
        "lfw",
        "LFW",
        ("lfw/*/*.jpg | lfw-deepfunneled/*/*.jpg | lfw_funneled/*/*.jpg", "pairs.txt"),
        "vis-www.cs.umass.edu/lfw",
        "research; the photos' own rights",
        "the detector",
        lfw,
        pairs=lfw_pairs,
    ),
    Dataset(
        "cfp_fp",
        "CFP-FP",
        ("cfp_fp.bin | Data/Images/*/frontal/*.jpg", "cfp_fp.bin | Protocol/Pair_list_P.txt"),
        "cfpw.io, or InsightFace's datasets for cfp_fp.bin",
        _RESEARCH,
        "ArcFace's template (.bin), else the detector",
        cfp_fp,
        pairs=cfp_fp_pairs,
    ),
    Dataset(
        "agedb_30",
        "AgeDB-30",
        ("agedb_30.bin | *_*_*_[mf].jpg | AgeDB/*_*_*_[mf].jpg",),
        "ibug.doc.ic.ac.uk/resources/agedb, or InsightFace's datasets for agedb_30.bin",
        _RESEARCH,
        "ArcFace's template (.bin), else the detector",
        agedb_30,
        pairs=agedb_30_pairs,
    ),
    Dataset(
        "bin",
        "InsightFace's verification sets",
        ("*.bin",),
        "github.com/deepinsight/insightface, recognition/_datasets_",
        _RESEARCH,
        "ArcFace's template",
        bins,
        pairs=bin_pairs,
    ),
    Dataset(
        "ytf",
        "YouTube Faces",
        ("frame_images_DB/*.labeled_faces.txt", "frame_images_DB/*/*/*.jpg"),
        "www.cs.tau.ac.il/~wolf/ytfaces",
        _RESEARCH,
        "the box of *.labeled_faces.txt, roughly",
        ytf,
    ),
)
