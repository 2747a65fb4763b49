"""What the scan protocols share: the rows of a manifest with their scans, and errors that name file and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import Predictions, Truth

if TYPE_CHECKING:
    from recface.metrics.scan import Scan, SearchMesh, Similarity


SEVEN = (
    "right_eye_outer",
    "right_eye_inner",
    "left_eye_inner",
    "left_eye_outer",
    "nose_base",
    "right_mouth_corner",
    "left_mouth_corner",
)
"""The seven landmarks of NoW in its order; right is the subject's."""
SEVEN_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""Which of iBUG's 68 they are, from 0."""


@dataclass(frozen=True)
class ScanRow:
    """One prediction and the scan it is measured against.

    Attributes:
        scan: The scan.
        landmarks: (P, 3) of the scan, mm: the seven, then those that the protocol asks for.
        vertices: (V, 3) predicted, mm.
        triangles: (F, 3) of the prediction.
        points: (7, 3) predicted landmarks, mm.
        file: Gives the path of another column, or None where the column or the cell is empty.
        name: The prediction, for messages.
    """

    scan: Scan
    landmarks: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    points: np.ndarray
    file: Callable[[str], Path | None]
    name: str

    @cached_property
    def mesh(self) -> SearchMesh:
        """The predicted mesh with its search tree."""
        from recface.metrics.scan import SearchMesh

        return SearchMesh(self.vertices, self.triangles, self.name)

    def rough(self, *, with_scale: bool) -> Similarity:
        """Moves the prediction onto the scan by the seven landmarks."""
        from recface.metrics.scan import procrustes

        return procrustes(self.points, self.landmarks[: len(SEVEN)], with_scale=with_scale)

    def mask(self, column: str) -> np.ndarray:
        """(N,) bool: the scan's vertices that a column's file keeps; all of them where the manifest names none."""
        from recface.metrics.scan import read_rows

        path, count = self.file(column), len(self.scan.vertices)
        kept = np.full(count, path is None)
        if path is not None:
            kept[read_rows(path, count)] = True
        return kept


@contextmanager
def named(where: str) -> Iterator[None]:
    """Puts a place before the message of a mistake."""
    try:
        yield
    except RecfaceError as error:
        raise RecfaceError(f"{where}: {error}") from None


def row_name(truth: Truth, row: int) -> str:
    """The manifest, its line, and the id, for messages."""
    label = truth.table.index[row]
    line = f"row {int(label) + 2}" if isinstance(label, int | np.integer) else f"row {label}"
    return (
        f"{truth.where}, {line} (id {truth.table['id'].iloc[row]})" if "id" in truth.table else f"{truth.where}, {line}"
    )


def require_fields(protocol: str, needs: tuple[str, ...], predictions: Predictions, truth: Truth) -> None:
    """Whether the predictions hold what the protocol reads, one for each row.

    Raises:
        RecfaceError: Naming the first missing field, or the numbers of rows.
    """
    for field in needs:
        if getattr(predictions, field) is None:
            raise RecfaceError(f"{predictions.where}: {protocol} needs {field}, which these predictions lack")
    if len(predictions) != len(truth) or not len(truth):
        raise RecfaceError(
            f"{predictions.where}: {len(predictions)} predictions for {len(truth)} rows of {truth.where}"
        )


def path_of(truth: Truth, row: int, column: str) -> Path | None:
    """The file that a cell names, from the manifest's folder; None for an empty or missing column."""
    if column not in truth.table:
        return None
    cell = truth.table[column].iloc[row]
    return truth.folder / cell if isinstance(cell, str) and cell.strip() else None


def required_path(truth: Truth, row: int, column: str) -> Path:
    """As `path_of`, where the file must be named.

    Raises:
        RecfaceError: For an empty cell.
    """
    if (path := path_of(truth, row, column)) is None:
        raise RecfaceError(f"{row_name(truth, row)}: no {column} is named; name its file")
    return path


def scan_rows(
    protocol: str, predictions: Predictions, truth: Truth, extra: tuple[str, ...] = ()
) -> Iterator[tuple[int, ScanRow]]:
    """Every row with its scan, those of one scan together so that each is read once.

    Args:
        protocol: Its id, for messages.
        predictions: With vertices, triangles and the seven points.
        truth: With columns scan and landmarks.
        extra: Landmarks beside the seven.

    Yields:
        The number of the row, and its data. Whatever is wrong with it, also while it is used, names file and row.

    Raises:
        RecfaceError: For missing fields, unreadable files, bad values, or another unit than millimetres.
    """
    from recface.metrics.scan import read_landmarks, read_scan, require_face, require_points

    require_fields(protocol, ("vertices", "triangles", "points"), predictions, truth)
    if predictions.points.shape[1:] != (len(SEVEN), 3):
        raise RecfaceError(
            f"{predictions.where}: points are {predictions.points.shape}, expected (N, 7, 3): {', '.join(SEVEN)}"
        )
    scans = [required_path(truth, row, "scan") for row in range(len(truth))]
    last: tuple[Path, Scan] | None = None
    for row in sorted(range(len(truth)), key=lambda row: str(scans[row])):
        with named(row_name(truth, row)):
            if last is None or last[0] != scans[row]:
                last = scans[row], read_scan(scans[row])
            landmarks = read_landmarks(required_path(truth, row, "landmarks"), SEVEN + extra)
            name = f"{predictions.where}, {predictions.ids[row]}"
            vertices = require_points(predictions.vertices[row], f"{name}: vertices")
            require_face(vertices, name)
            yield (
                row,
                ScanRow(
                    scan=last[1],
                    landmarks=landmarks,
                    vertices=vertices,
                    triangles=predictions.triangles,
                    points=require_points(predictions.points[row], f"{name}: points"),
                    file=lambda column, row=row: path_of(truth, row, column),
                    name=name,
                ),
            )
