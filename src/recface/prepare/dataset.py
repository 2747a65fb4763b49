"""What a dataset is here: the official layout that it is expected in, and the rows that it consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from recface.errors import RecfaceError, one_line

ARCHIVES = (".tar", ".gz", ".tgz", ".zip", ".rar", ".7z", ".bz2", ".xz")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Row:
    """A photo before it is cropped.

    Attributes:
        file: Its name in the store: its path in the dataset, or one that was made for it.
        photo: Path of the image, its bytes, or a path with the position of the record that holds it.
        identity: Who it is; "" = unknown.
        landmarks: (68, 2) or None.
        five: (5, 2), or None: centers of the eyes, tip of the nose, corners of the mouth, first the one at image left.
        box: Left, top, right and bottom of the face as 68 landmarks bound it, or None.
        framed: Whether the photo is cropped to the suite's framing already.
        split: Such as "train" or "test".
        extra: Further labels.

    All positions are pixels of the upright picture: origin at its top-left corner, centers at +0.5, y down. A row that
    has no position at all and is not framed is given to the detector.
    """

    file: str
    photo: Path | bytes | tuple[Path, int]
    identity: str = ""
    landmarks: np.ndarray | None = None
    five: np.ndarray | None = None
    box: tuple[float, float, float, float] | None = None
    framed: bool = False
    split: str = "train"
    extra: dict[str, str] = field(default_factory=dict)


Pair = tuple[str, str, bool, int]
"""Files of two photos of a verification list, or folders of photos, whether they are of one person, and the fold."""


@dataclass(frozen=True)
class Dataset:
    """A dataset whose official folder can be prepared.

    Attributes:
        name: Of the command.
        title: Its own name.
        layout: Patterns of paths below the folder, each of which must match; alternatives are separated by " | ".
        ask: Where its files are asked for.
        license: What its license permits, in a few words.
        framing: How its photos are cropped.
        rows: The photos of a folder, always in the same order; they may lack what `complete` adds.
        complete: Adds to a row what is read beside its photo, in a worker process.
        pairs: The verification list of a folder, where the dataset has one.
        meshes: Whether it holds registered scans and no photos: it becomes a folder of scans, and `rows` names meshes.
        scale: Millimeters in a unit of the meshes.
    """

    name: str
    title: str
    layout: tuple[str, ...]
    ask: str
    license: str
    framing: str
    rows: Callable[[Path], Iterator[Row]]
    complete: Callable[[Row], Row] = lambda row: row
    pairs: Callable[[Path], Iterator[Pair]] | None = None
    meshes: bool = False
    scale: float = 1.0


def require_layout(dataset: Dataset, raw: Path) -> None:
    """Raise RecfaceError, which names the first thing that is missing, unless a folder has a dataset's layout."""
    if not raw.is_dir():
        raise RecfaceError(f"{raw}: no such folder; {dataset.title} is asked for at {dataset.ask}")
    for patterns in dataset.layout:
        if not any(next(raw.glob(pattern), None) for pattern in patterns.split(" | ")):
            packed = sorted(path.name for path in raw.iterdir() if path.suffix in ARCHIVES)
            remedy = f"unpack {', '.join(packed[:3])} here" if packed else f"it is asked for at {dataset.ask}"
            raise RecfaceError(f"{raw}: no {patterns}, which {dataset.title} has in its official layout; {remedy}")


def within(raw: Path, text: str, where: str) -> Path:
    """Path of a file that a list of a dataset names.

    Args:
        raw: The dataset's folder.
        text: Relative to it, with slashes of either kind.
        where: Begins the message.

    Raises:
        RecfaceError: The path leaves the folder.
    """
    parts = PurePosixPath(text.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in text or "\0" in text:
        raise RecfaceError(f"{where}: {one_line(text, 80)!r} leads out of {raw}; get the list again")
    return raw / parts


def photos_below(folder: Path) -> Iterator[Path]:
    """Photos in a folder and those in it, in the order of their names; hidden ones are left out."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from photos_below(path)
        elif path.suffix.lower() in PHOTOS:
            yield path


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder, sorted; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
