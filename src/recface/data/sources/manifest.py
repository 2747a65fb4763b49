"""A folder of photos with a table: the door for real data.

The table has a column `file` (relative to the table's folder or to `images/` in it) and, as known, `identity` (any
string; empty = unknown), `expression`, and 68 landmarks as x1, y1, ..., x68, y68 in pixels (empty = unknown). Photos
with landmarks are cropped to the suite's framing; photos without must be framed already and are only resized.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from recface.data.framing import crop_photo
from recface.data.source import NO_IDENTITY, Source
from recface.errors import RecfaceError

LANDMARK_COLUMNS = [f"{axis}{number}" for number in range(1, 69) for axis in "xy"]


def _read_table(path: Path, name: str) -> tuple[pd.DataFrame, Path]:
    """Read the table (a CSV file, or the only CSV of that kind in a folder) and find its photo folder."""
    table_path = path / "faces.csv" if path.is_dir() else path
    if not table_path.is_file():
        raise RecfaceError(f"data source '{name}': no table {table_path}; give a CSV file or a folder with faces.csv")
    try:  # by pandas' own parser: tables of training photos have millions of rows
        table = pd.read_csv(table_path, dtype={"file": str, "identity": str, "expression": str})
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise RecfaceError(f"data source '{name}': {table_path}: not a readable CSV ({reason})") from None
    if "file" not in table:
        raise RecfaceError(f"data source '{name}': {table_path} has no column 'file' (it has {', '.join(table)[:80]})")
    folder = table_path.parent / "images"
    return table, folder if folder.is_dir() else table_path.parent


def _landmarks(table: pd.DataFrame, name: str) -> np.ndarray:
    """(N, 68, 2) in pixels; NaN where a cell is empty."""
    numbers = table[LANDMARK_COLUMNS].apply(pd.to_numeric, errors="coerce")
    words = (numbers.isna() & table[LANDMARK_COLUMNS].notna()).to_numpy()
    if words.any():
        row, column = np.argwhere(words)[0]
        where = f"data source '{name}', row {row + 2}: {LANDMARK_COLUMNS[column]}"
        raise RecfaceError(f"{where} is {table[LANDMARK_COLUMNS[column]][row]!r}, no number; leave unknown ones empty")
    return numbers.to_numpy(np.float64).reshape(-1, 68, 2)


def _open_photo(path: Path, name: str, row: int) -> Image.Image:
    try:
        with Image.open(path) as photo:
            return photo.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else "not a readable image"
        raise RecfaceError(f"data source '{name}', row {row + 2}: {path}: {what}; mend or remove the row") from None


def manifest_source(path: str | Path, canonical: np.ndarray, size: int, name: str = "manifest") -> Source:
    """Read a folder of photos with its table.

    Args:
        path: The CSV table, or a folder that holds `faces.csv`.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        name: Name of the source in messages.

    Returns:
        The source, in memory. `extra` holds the tables' columns expression and file.

    Raises:
        RecfaceError: No table, no column 'file', an unreadable photo (named with its row), or no label at all.
    """
    table, folder = _read_table(Path(path), name)
    has_landmarks = set(LANDMARK_COLUMNS) <= set(table)
    pixels = _landmarks(table, name) if has_landmarks else None
    images = np.empty((len(table), 3, size, size), np.uint8)
    landmarks = np.full((len(table), 68, 2), np.nan)
    for row, file in enumerate(table["file"]):
        photo = _open_photo(folder / str(file), name, row)
        if pixels is not None and np.isfinite(pixels[row]).all():
            images[row], landmarks[row] = crop_photo(photo, pixels[row], canonical, size)
        else:
            images[row] = np.asarray(photo.resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    identity = None
    if "identity" in table and table["identity"].notna().any():
        identity = pd.factorize(table["identity"], sort=True)[0].astype(np.int64)  # unknown becomes -1
        assert NO_IDENTITY == -1
    extra = {key: table[key].fillna("").to_numpy(str) for key in ("file", "expression") if key in table}
    return Source(name, images, identity, landmarks if has_landmarks else None, extra=extra)
