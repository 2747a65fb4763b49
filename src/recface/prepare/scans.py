"""Photos of scan benchmarks (NoW, REALY, Bosphorus) and registered scans to learn from (FaceWarehouse, FaceScape)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from recface.files.guard import guarded, is_file
from recface.prepare.dataset import Dataset, Row, folders_in, photos_below, within

BOSPHORUS = re.compile(r"(?P<person>bs\d{3})_(?P<kind>[A-Z]+)_(?P<code>[^_]+)_\d+")
FACESCAPE = re.compile(r"\d+_(?P<expression>\w+)")


def now(raw: Path) -> Iterator[Row]:
    """The photos that the list files name, with the challenge that each belongs to."""
    pictures = next(path for path in _now_pictures(raw) if path.is_dir())
    lists = [(raw / f"imagepaths{name}.txt", name) for name in ("validation", "test")]
    for path, split in lists:
        if is_file(path):
            with guarded(path, "list of photos", "get it from the benchmark's site"):
                names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            for name in names:
                extra = {"challenge": name.split("/")[1] if name.count("/") > 1 else ""}
                yield Row(name, within(pictures, name, str(path)), name.split("/")[0], split=split, extra=extra)


def _now_pictures(raw: Path) -> tuple[Path, ...]:
    release = ("final_release_version", "iphone_pictures")
    return raw.joinpath("NoW_Dataset", *release), raw.joinpath(*release), raw / "iphone_pictures"


def realy(raw: Path) -> Iterator[Row]:
    """All photos; a file's name is the number of the scan, and its folder the view."""
    for path in photos_below(raw / "REALY_image"):
        file = path.relative_to(raw / "REALY_image").as_posix()
        yield Row(file, path, path.stem, split="test", extra={"view": path.parent.name})


def bosphorus(raw: Path) -> Iterator[Row]:
    """All photos, named by person, kind (N neutral, E emotion, action units, poses, occlusions) and code."""
    for path in photos_below(raw):
        if found := BOSPHORUS.fullmatch(path.stem):
            extra = {"kind": found["kind"], "code": found["code"]}
            extra["expression"] = "neutral" if found["kind"] == "N" else found["code"]
            yield Row(path.relative_to(raw).as_posix(), path, found["person"], split="test", extra=extra)


def facewarehouse(raw: Path) -> Iterator[Row]:
    """The registered meshes of all people and poses; pose 0 is the neutral one."""
    for person in folders_in(raw):
        for path in sorted((person / "TrainingPose").glob("pose_*.obj"), key=lambda path: (len(path.name), path.name)):
            yield _scan(raw, path, person.name, path.stem)


def facescape(raw: Path) -> Iterator[Row]:
    """The registered meshes ("TU models") of all people and expressions."""
    for person in folders_in(raw):
        for path in sorted((person / "models_reg").glob("*.obj"), key=lambda path: (len(path.name), path.name)):
            found = FACESCAPE.fullmatch(path.stem)
            yield _scan(raw, path, person.name, found["expression"] if found else "")


def _scan(raw: Path, path: Path, person: str, expression: str) -> Row:
    return Row(path.relative_to(raw).as_posix(), path, person, extra={"expression": expression})


_RESEARCH = "research, non-commercial"
_NOW = " | ".join(f"{'/'.join(path.parts)}/*/*/*" for path in _now_pictures(Path()))
DATASETS = (
    Dataset(
        "now",
        "the NoW benchmark",
        (_NOW, "imagepathsvalidation.txt | imagepathstest.txt"),
        "now.is.tue.mpg.de",
        _RESEARCH,
        "the detector",
        now,
    ),
    Dataset(
        "realy",
        "REALY",
        ("REALY_image/*/*",),
        "github.com/czh-98/REALY, with the agreement of the Headspace dataset",
        _RESEARCH,
        "the detector",
        realy,
    ),
    Dataset(
        "bosphorus",
        "Bosphorus",
        ("bs*/bs*_*_*_*.png | */bs*/bs*_*_*_*.png",),
        "bosphorus.ee.boun.edu.tr",
        _RESEARCH,
        "the detector",
        bosphorus,
    ),
    Dataset(
        "facewarehouse",
        "FaceWarehouse",
        ("Tester_*/TrainingPose/pose_*.obj",),
        "kunzhou.net/zjugaps/facewarehouse",
        _RESEARCH,
        "none: meshes, in units of 100 mm",
        facewarehouse,
        meshes=True,
        scale=100.0,
    ),
    Dataset(
        "facescape",
        "FaceScape",
        ("*/models_reg/*.obj",),
        "facescape.nju.edu.cn",
        _RESEARCH,
        "none: meshes, in millimeters",
        facescape,
        meshes=True,
    ),
)
