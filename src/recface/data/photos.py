"""Photos from files, cropped to the suite's framing, with the way back to their own pixels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from recface.data.framing import crop_photo, framing_of
from recface.errors import RecfaceError, named
from recface.files.guard import is_file
from recface.files.images import FORMATS, read_image
from recface.files.tables import line_of, read_table

LANDMARK_COLUMNS = [f"{axis}{number}" for number in range(1, 69) for axis in "xy"]
LEAST_TURN = 1e-6  # smallest scale from pixels to normalized coordinates: of a face two million pixels wide
YES, NO = ("true", "yes", "1"), ("false", "no", "0")
FRAMED = "add x1,y1 to x68,y68; or, if it is cropped to the suite's framing already, say so (column framed: true)"


class LazyRows:
    """An array (N, ...) whose rows are read when they are asked for, in whichever process asks.

    Args:
        read: Gives the rows (B, ...) of indices (B,) in 0..N-1; takes part in pickling.
        shape: (N, ...).
    """

    def __init__(self, read: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> None:
        self.read, self.shape = read, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | list[int] | np.ndarray) -> np.ndarray:
        if isinstance(rows, int):
            return self.read(np.array([range(len(self))[rows]]))[0]
        return self.read(np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows))


@dataclass(frozen=True)
class Photos:
    """N photos of a table, which are decoded when they are asked for.

    Attributes:
        table: Has a column `file`; other columns where known.
        folder: That of the files.
        pixels: Landmarks (N, 68, 2) in pixels of the files, NaN for photos without; None where the table has none.
        ready: (N,) bool, whether a photo without landmarks is framed already.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        name: Name of the photos in messages.
    """

    table: pd.DataFrame
    folder: Path
    pixels: np.ndarray | None
    ready: np.ndarray
    canonical: np.ndarray
    size: int
    name: str

    @property
    def images(self) -> LazyRows:
        """(N, 3, S, S) uint8; raises RecfaceError for a photo that is unreadable or cannot be framed."""
        return LazyRows(self._crops, (len(self.table), 3, self.size, self.size))

    @functools.cached_property
    def marked(self) -> np.ndarray:
        """(N,) bool, whether a photo has landmarks."""
        return np.isfinite(self.pixels).all(axis=(1, 2)) if self.pixels is not None else np.zeros(len(self.table), bool)

    @functools.cached_property
    def landmarks(self) -> np.ndarray | None:
        """(N, 68, 2) normalized, NaN for photos without; None where the table has none."""
        if self.pixels is None:
            return None
        turn, shift = framing_of(self.pixels, self.canonical)
        moved = turn[:, None] * (self.pixels[..., 0] - 1j * self.pixels[..., 1]) + shift[:, None]
        return np.stack([moved.real, moved.imag], -1)

    def in_pixels(self, points: np.ndarray) -> np.ndarray:
        """Normalized points (N, P, 2) in the pixels of the files that the photos came from."""
        turn, shift = np.full(len(self.table), -1 + 1j), np.full(len(self.table), -1 + 1j)
        if self.pixels is not None:
            turn[self.marked], shift[self.marked] = framing_of(self.pixels[self.marked], self.canonical)
        for row in np.flatnonzero(~self.marked).tolist():
            with Image.open(self.path(row), formats=FORMATS) as photo:  # its header alone
                turn[row] = 2 / photo.width
        place = (points[..., 0] + 1j * points[..., 1] - shift[:, None]) / turn[:, None]
        return np.stack([place.real, -place.imag], -1)

    def where(self, row: int) -> str:
        """A photo's line and path, as messages name it."""
        return f"{self.name}: line {line_of(self.table, row)}: {self.path(row)}"

    def path(self, row: int) -> Path:
        """Where a photo lies."""
        return self.folder / str(self.table["file"].iloc[row])

    def _photo(self, row: int) -> Image.Image:
        with named(f"{self.name}: line {line_of(self.table, row)}"):
            return read_image(self.path(row))

    def _crops(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), 3, self.size, self.size), np.uint8)
        for place, row in enumerate(rows.tolist()):
            photo = self._photo(row)
            if self.pixels is not None and self.marked[row]:
                _require_inside(photo, self.pixels[row], self.canonical, self.where(row))
                found[place], _ = crop_photo(photo, self.pixels[row], self.canonical, self.size)
            elif photo.width == photo.height:
                scaled = photo.resize((self.size, self.size), Image.Resampling.LANCZOS)
                found[place] = np.asarray(scaled).transpose(2, 0, 1)
            else:
                size = f"{photo.width} x {photo.height} pixels"
                raise RecfaceError(f"{self.where(row)}: {size}; a framed photo is square")
        return found


def read_photos(path: str | Path, canonical: np.ndarray, size: int, name: str, framed: bool = False) -> Photos:
    """Read and check a table of photos, and look whether all are there; decode none yet.

    Args:
        path: The CSV table, or a folder that holds `faces.csv`.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        name: Name of the photos in messages.
        framed: Whether photos without landmarks are cropped to the suite's framing already.

    Returns:
        The photos: upright, cropped by their landmarks; framed ones without landmarks are only resized.

    Raises:
        RecfaceError: The table or its column 'file' is missing; or a row's photo is missing, has landmarks that are
            incomplete, not numbers, or those of no face, or has none and is not said to be framed. What is wrong with
            the photo itself (it is damaged, or its landmarks lie outside) is told when it is decoded.
    """
    table_path = table_of_photos(path, name)
    with named(name):
        table = read_table(table_path, ("file",), "a table of photos")
    folder = table_path.parent / "images"
    return load_photos(table, folder if folder.is_dir() else table_path.parent, canonical, size, name, framed)


def table_of_photos(path: str | Path, name: str) -> Path:
    """The CSV table at a path: the file itself, or a folder's faces.csv.

    Raises:
        RecfaceError: There is none; the name begins the message.
    """
    path = Path(path)
    table_path = path / "faces.csv" if path.is_dir() else path
    if not table_path.is_file():
        raise RecfaceError(f"{name}: no table {table_path}; give a CSV file or a folder with faces.csv")
    return table_path


def load_photos(
    table: pd.DataFrame, folder: Path, canonical: np.ndarray, size: int, name: str, framed: bool = False
) -> Photos:
    """`read_photos` for a table in memory whose files lie in a folder."""
    ready = np.array(_said_framed(table, name, framed), bool)
    photos = Photos(table, folder, _landmarks(table, name), ready, canonical, size, name)
    for row, file in enumerate(table["file"]):
        if not is_file(folder / str(file)):
            photos.images[row]  # says what is wrong with it
    if (bare := ~photos.marked & ~ready).any():
        raise RecfaceError(f"{photos.where(int(bare.argmax()))}: no landmarks to frame it by; {FRAMED}")
    if photos.pixels is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.abs(framing_of(photos.pixels, canonical)[0])
        spans = (np.ptp(photos.pixels, axis=1).min(axis=1) > 0) & (turn > LEAST_TURN) & (turn < 1 / LEAST_TURN)
        if (wrong := photos.marked & ~spans).any():
            where = photos.where(int(wrong.argmax()))
            raise RecfaceError(f"{where}: the landmarks span no face; leave their cells empty if unknown")
    return photos


def _landmarks(table: pd.DataFrame, name: str) -> np.ndarray | None:
    """(N, 68, 2) in pixels, NaN for photos without; None where the table has no such columns."""
    present = [column for column in LANDMARK_COLUMNS if column in table]
    if not present:
        return None
    if len(present) < len(LANDMARK_COLUMNS):
        missing = next(column for column in LANDMARK_COLUMNS if column not in table)
        raise RecfaceError(f"{name}: no column {missing} beside {present[0]}; give x1,y1 to x68,y68 or none of them")
    cells = table[LANDMARK_COLUMNS]
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    filled = (cells != "").to_numpy() & cells.notna().to_numpy()
    if (wrong := filled & ~np.isfinite(numbers)).any():
        row, column = np.argwhere(wrong)[0]
        cell = cells.iloc[row, column]
        raise RecfaceError(
            f"{name}: line {line_of(table, row)}: {LANDMARK_COLUMNS[column]} must be a number, not {cell!r}"
        )
    if (part := filled.any(axis=1) & ~filled.all(axis=1)).any():
        row = int(part.argmax())
        count = f"{filled[row].sum()} of {len(LANDMARK_COLUMNS)} cells"
        raise RecfaceError(f"{name}: line {line_of(table, row)}: {count} of landmarks are filled; fill all or none")
    return numbers.reshape(-1, 68, 2)


def _said_framed(table: pd.DataFrame, name: str, otherwise: bool) -> list[bool]:
    """Which photos are framed already, by the column `framed`, and `otherwise` where it says nothing."""
    words = {"": otherwise} | dict.fromkeys(YES, True) | dict.fromkeys(NO, False)
    found = []
    for row, cell in enumerate(table["framed"] if "framed" in table else [""] * len(table)):
        if cell.lower() not in words:
            raise RecfaceError(f"{name}: line {line_of(table, row)}: framed must be true or false, not {cell!r}")
        found.append(words[cell.lower()])
    return found


def _require_inside(photo: Image.Image, marks: np.ndarray, canonical: np.ndarray, where: str) -> None:
    """The middle of the crop must lie in the photo."""
    turn, shift = framing_of(marks, canonical)
    middle = -shift / turn
    if not (0 <= middle.real <= photo.width and 0 <= -middle.imag <= photo.height):
        raise RecfaceError(f"{where}: the landmarks lie outside of the photo, {photo.width} x {photo.height} pixels")
