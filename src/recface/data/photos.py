"""Photos from files, cropped to the suite's framing, with the way back to their own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from recface.data.framing import crop_photo, framing_of
from recface.errors import RecfaceError, named
from recface.files.images import read_image
from recface.files.tables import line_of, read_table

LANDMARK_COLUMNS = [f"{axis}{number}" for number in range(1, 69) for axis in "xy"]
LEAST_TURN = 1e-6  # smallest scale from pixels to normalized coordinates: of a face two million pixels wide
YES, NO = ("true", "yes", "1"), ("false", "no", "0")
FRAMED = "add x1,y1 to x68,y68; or, if it is cropped to the suite's framing already, say so (column framed: true)"


@dataclass(frozen=True)
class Photos:
    """N photos of a table: a pixel (x, y) of a file lies at turn (x - iy) + shift in normalized coordinates."""

    table: pd.DataFrame  # always has a column `file`; other columns where known
    images: np.ndarray  # (N, 3, S, S) uint8
    landmarks: np.ndarray | None  # (N, 68, 2) normalized, NaN for photos without; None where the table has none
    turn: np.ndarray  # (N,) complex
    shift: np.ndarray  # (N,) complex

    def in_pixels(self, points: np.ndarray) -> np.ndarray:
        """Normalized points (N, P, 2) in the pixels of the files that the photos came from."""
        place = (points[..., 0] + 1j * points[..., 1] - self.shift[:, None]) / self.turn[:, None]
        return np.stack([place.real, -place.imag], -1)


def read_photos(path: str | Path, canonical: np.ndarray, size: int, name: str, framed: bool = False) -> Photos:
    """Read a table and its photos.

    Args:
        path: The CSV table, or a folder that holds `faces.csv`.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        name: Name of the photos in messages.
        framed: Whether photos without landmarks are cropped to the suite's framing already.

    Returns:
        The photos: upright, cropped by their landmarks; framed ones without landmarks are only resized.

    Raises:
        RecfaceError: The table or its column 'file' is missing; or a row's photo is unreadable, has landmarks that are
            incomplete, not numbers, or outside of the photo, or has none and is not said to be framed.
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
    pixels = _landmarks(table, name)
    images = np.empty((len(table), 3, size, size), np.uint8)
    landmarks = np.full((len(table), 68, 2), np.nan)
    turn, shift = np.zeros(len(table), complex), np.zeros(len(table), complex)
    said = _said_framed(table, name, framed)
    for row, (file, ready) in enumerate(zip(table["file"], said, strict=True)):
        path, line = folder / str(file), f"{name}: line {line_of(table, row)}"
        where = f"{line}: {path}"
        with named(line):
            photo = read_image(path)
        if pixels is not None and np.isfinite(pixels[row]).all():
            turn[row], shift[row] = _place(photo, pixels[row], canonical, where)
            images[row], landmarks[row] = crop_photo(photo, pixels[row], canonical, size)
        elif ready and photo.width == photo.height:
            turn[row], shift[row] = 2 / photo.width, -1 + 1j
            images[row] = np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
        elif ready:
            raise RecfaceError(f"{where}: {photo.width} x {photo.height} pixels; a framed photo is square")
        else:
            raise RecfaceError(f"{where}: no landmarks to frame it by; {FRAMED}")
    return Photos(table, images, None if pixels is None else landmarks, turn, shift)


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


def _place(photo: Image.Image, marks: np.ndarray, canonical: np.ndarray, where: str) -> tuple[complex, complex]:
    """`framing_of` landmarks, which must span a face in the photo."""
    turn, shift = framing_of(marks, canonical) if np.ptp(marks, axis=0).min() > 0 else (0j, 0j)
    if not LEAST_TURN < abs(turn) < 1 / LEAST_TURN:
        raise RecfaceError(f"{where}: the landmarks span no face; leave their cells empty if unknown")
    middle = -shift / turn
    if not (0 <= middle.real <= photo.width and 0 <= -middle.imag <= photo.height):
        raise RecfaceError(f"{where}: the landmarks lie outside of the photo, {photo.width} x {photo.height} pixels")
    return turn, shift
