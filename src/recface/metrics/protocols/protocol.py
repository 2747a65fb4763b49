"""A protocol of the field measures any method's predictions against a manifest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np

from recface.errors import RecfaceError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """N predictions of one method; what it does not predict is None.

    Attributes:
        ids: N ids, those of the manifest, unique.
        parameters: (N, K) shape parameters, whitened or as the method has them.
        mirrored: (N, K) those of the mirrored photos.
        weights: (K,) standard deviations in mm that turn parameters into shape distances; None if unknown.
        vertices: (N, V, 3) neutral shapes in mm, all of one topology; may be memory-mapped.
        triangles: (F, 3) of that topology.
        mask: (V,) bool, vertices between which a triangle may be measured; None: all.
        points: (N, P, 3) named 3D points in mm, such as the seven landmarks of NoW, in the order of the protocol.
        landmarks: (N, 68, 2) projected landmarks in pixels of the original photo.
        basis: (M, 3, K) mm, what a unit of each parameter moves at the M vertices of the face model's face region. With
            `mean` it stands in for `vertices`, which are then never decoded all at once.
        mean: (M, 3) mm of that region.
        region: (V,) bool with M true, where vertices or basis were cut to a face region: true shapes are cut alike.
        where: the file or folder they come from, for messages.
    """

    ids: tuple[str, ...]
    parameters: np.ndarray | None = None
    mirrored: np.ndarray | None = None
    weights: np.ndarray | None = None
    vertices: np.ndarray | None = None
    triangles: np.ndarray | None = None
    mask: np.ndarray | None = None
    points: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    basis: np.ndarray | None = None
    mean: np.ndarray | None = None
    region: np.ndarray | None = None
    where: str = "predictions"

    def __len__(self) -> int:
        return len(self.ids)

    def array(self, name: str) -> np.ndarray:
        """A field that the protocol needs; raises RecfaceError where it is None."""
        if (values := getattr(self, name)) is None:
            raise RecfaceError(f"{self.where}: the protocol needs {name}, which these predictions lack")
        return values

    def tensor(self, name: str) -> Tensor:
        """Such a field as a tensor with its own memory."""
        import torch

        return torch.from_numpy(np.array(self.array(name)))

    def name(self, row: int) -> str:
        """File and id of a prediction, for messages."""
        return f"{self.where}, {self.ids[row]}"


@dataclass(frozen=True)
class Truth:
    """Known facts about the samples: one row each, checked, and in the order of the predictions.

    Attributes:
        table: N rows; its columns are at least the protocol's.
        pairs: P pairs of a protocol with a pair list, None for others: `first` and `second` are rows of the table (or
            template names where the protocol pools templates), `same` whether they show one person, and `fold`.
        folder: Where the files that the table names lie.
        where: The manifest's path, for messages.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame | None = None
    folder: Path = Path()
    where: str = "manifest"

    def __len__(self) -> int:
        return len(self.table)


class BenchmarkProtocol(ABC):
    """One protocol of the field; its docstring states source, alignment, crop, similarity and unit.

    Attributes:
        id: Name and version; whoever changes how a number comes about raises the version.
        source: Paper, section or repository; "ours" where the formula is not published.
        unit: "mm", "%", or "" for a plain number.
        direction: Whether lower or higher is better.
        needs: Fields of `Predictions` that it reads.
        columns: Columns that the manifest must have, beside `id`.
        values: Names of its numbers, the main one first, each with what it is.
        units: Units of those of its numbers that are not in `unit`.
        numbers: Those of the columns that hold numbers; the others hold names.
        pairs: Number of pairs in the protocol's list; 0 if it takes a list of any length, None if it takes none.
        folds: Whether its list is cut into ten folds.
        templates: Whether pairs name templates (column `template`), not samples.
    """

    id: ClassVar[str]
    source: ClassVar[str]
    unit: ClassVar[str] = ""
    direction: ClassVar[Literal["lower", "higher"]]
    needs: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]] = ()
    values: ClassVar[dict[str, str]]
    units: ClassVar[dict[str, str]] = {}
    numbers: ClassVar[tuple[str, ...]] = ()
    pairs: ClassVar[int | None] = None
    folds: ClassVar[bool] = False
    templates: ClassVar[bool] = False

    @abstractmethod
    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure N predictions against the N rows of truth in the same order.

        Raises:
            RecfaceError: Bad input, in one line with the file and the row.
        """

    def require_needs(self, predictions: Predictions) -> None:
        """Raise RecfaceError naming the first field of `needs` that is not there; a basis stands in for vertices."""
        decoded = predictions.parameters is not None and predictions.basis is not None
        for need in self.needs:
            if getattr(predictions, need) is None and not (need == "vertices" and decoded):
                hint = ""
                if need == "vertices" and predictions.parameters is not None:
                    hint = "; or name the face model of the parameters (--face-model)"
                raise RecfaceError(f"{predictions.where}: {self.id} needs {need}, which it does not hold{hint}")


BENCHMARKS: dict[str, BenchmarkProtocol] = {}
"""All protocols by id, in the order in which they are listed."""

P = TypeVar("P", bound=type[BenchmarkProtocol])


def register(protocol: P) -> P:
    """Class decorator: make a protocol known under its id."""
    assert protocol.id not in BENCHMARKS, f"{protocol.id} is registered twice"
    BENCHMARKS[protocol.id] = protocol()
    return protocol
