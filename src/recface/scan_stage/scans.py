"""Registered scans of people: decoded from a face model or read from a folder of meshes, checked, split, in batches."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from recface.data.benchmark import Benchmark
from recface.data.benchmark.generate import draw_scan_labels
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.files.arrays import read_array
from recface.files.cache import cached
from recface.files.digests import table_digest
from recface.files.guard import is_file
from recface.files.meshes import read_mesh, require_millimeters
from recface.files.tables import line_of, read_table

CSV = "scans.csv"
COLUMNS = ("file", "identity")
SMALLEST_MM, LARGEST_MM = 50.0, 1000.0  # of a face or head, from end to end
BLOCK = 128  # scans decoded at a time: 77 MB at 50,000 vertices


class ScanSet(ABC):
    """N registered meshes with identity labels, read or decoded on demand.

    Attributes:
        identity: (N,) int64 number of the person of each scan, 0 .. P-1.
        num_vertices: Vertices V of every scan.
    """

    identity: np.ndarray
    num_vertices: int

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def num_people(self) -> int:
        """Number of people P."""
        return int(self.identity.max()) + 1

    def __getitem__(self, row: int | slice | np.ndarray) -> np.ndarray:
        """Scans in mm, float32: (V, 3) of one row, (B, V, 3) of several."""
        rows = np.arange(len(self))[row]
        vertices = self._read(np.atleast_1d(rows))
        return vertices[0] if np.ndim(rows) == 0 else vertices

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, np.ndarray]]:
        """All scans in order, a block of rows at a time: the slice, and (B, 3V) float32 in mm."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self[rows].reshape(rows.stop - start, -1)

    @abstractmethod
    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Vertices (B, V, 3) float32 of rows (B,)."""


class PeopleSubset(ScanSet):
    """The scans of the people (Q,) of a set, renumbered."""

    def __init__(self, scans: ScanSet, people: np.ndarray) -> None:
        self.scans, self.row = scans, np.flatnonzero(np.isin(scans.identity, people))
        self.identity = np.unique(scans.identity[self.row], return_inverse=True)[1]
        self.num_vertices = scans.num_vertices

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return self.scans[self.row[rows]]


def split_people(scans: ScanSet, sizes: tuple[int, int], seed: int) -> tuple[ScanSet, ScanSet, ScanSet]:
    """Training, validation and test scans of disjoint people: `sizes` validation and test people, drawn by the seed.

    Raises:
        RecfaceError: Fewer than two training people would be left.
    """
    if sum(sizes) > scans.num_people - 2:
        raise RecfaceError(
            f"sfm_model: {sizes[0]} validation and {sizes[1]} test people of {scans.num_people} leave too few to train "
            "on; lower sfm_model.validation_people and sfm_model.test_people"
        )
    order = np.random.default_rng(seed).permutation(scans.num_people)
    parts = np.split(order, np.cumsum(sizes))
    return PeopleSubset(scans, parts[2]), PeopleSubset(scans, parts[0]), PeopleSubset(scans, parts[1])


def check_scans(scans: ScanSet, modes: int, expression_modes: int) -> None:
    """Raise RecfaceError unless training scans separate identity from expression, and outnumber the modes asked for."""
    counts = np.bincount(scans.identity)
    if len(counts) < 2:
        raise RecfaceError(f"sfm.scan: {len(counts)} person in {len(scans)} scans; identities need two or more")
    if counts.max() < 2:
        raise RecfaceError(
            "sfm.scan: one scan per person only, so nothing tells identity from expression; give a second scan of some"
        )
    if len(counts) <= modes:
        raise RecfaceError(
            f"sfm.scan.modes: {modes} identity modes from {len(counts)} people; lower it below the number of people"
        )
    spare = len(scans) - len(counts)
    if spare < expression_modes:
        raise RecfaceError(
            f"sfm.scan.expression_modes: {expression_modes} modes from {spare} repeated scans; lower it or add scans"
        )


class ScanBatches(IterableDataset):
    """Shuffled batches for the steps from `start` to before `stop`, in an order that depends on seed and step alone.

    A killed run therefore resumes unchanged. Each scan comes at most once an epoch; an epoch's incomplete last batch is
    dropped. `scores` (N, M) are principal coordinates in mm, perhaps memory-mapped.
    """

    def __init__(
        self, scores: np.ndarray, identity: np.ndarray, batch_size: int, seed: int, start: int, stop: int
    ) -> None:
        self.scores, self.identity = scores, identity
        self.size, self.seed = min(batch_size, len(scores)), seed
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def rows(self, step: int) -> np.ndarray:
        """Rows (B,) of a step's batch."""
        epoch, place = divmod(step, len(self.scores) // self.size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.scores))
        return np.sort(order[place * self.size : (place + 1) * self.size])  # ascending reads are faster from disk

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for step in range(self.start, self.stop):
            rows = self.rows(step)
            yield {
                "row": torch.from_numpy(rows),
                "identity": torch.from_numpy(self.identity[rows]),
                "scores": torch.from_numpy(np.asarray(self.scores[rows], np.float32)),
            }


class DecodedScans(ScanSet):
    """A face model's shapes with a scanner's noise, decoded on demand. Ours.

    Args:
        model: Face model that the scans are decoded with.
        labels: Of `draw_scan_labels`; a scan's noise has a seed of its own, to be the same whenever decoded.
        noise_mm: Standard deviation of the noise of every coordinate, in mm.
    """

    def __init__(self, model: FaceModel, labels: Mapping[str, np.ndarray], noise_mm: float) -> None:
        arrays = model.arrays()
        self.identity, self.num_vertices, self.noise_mm = labels["identity"], model.num_vertices, noise_mm
        self.parameters, self.expression = labels["identity_parameters"], labels["expression"]
        self.noise_seed = labels["noise_seed"]
        self._mean = arrays["mean"].ravel()
        self._basis = (arrays["identity_basis"] * arrays["identity_sigma"]).T.copy()
        self._blend = arrays["expression_basis"].T.copy()

    def clean(self, rows: np.ndarray | slice, expression: bool = True) -> np.ndarray:
        """Scans without noise (B, V, 3), or without expression too: the person's true neutral face."""
        flat = self._mean + self.parameters[rows] @ self._basis
        if expression:
            flat += self.expression[rows] @ self._blend
        return flat.reshape(-1, self.num_vertices, 3)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        vertices = self.clean(rows)
        for vertex_rows, seed in zip(vertices, self.noise_seed[rows], strict=True):
            noise = np.random.default_rng(int(seed)).standard_normal(vertex_rows.shape, dtype=np.float32)
            vertex_rows += np.float32(self.noise_mm) * noise
        return vertices


def benchmark_scans(model: FaceModel, benchmark: Benchmark, noise_mm: float) -> DecodedScans:
    """The registered scans of the embedded benchmark of a face model."""
    return DecodedScans(model, benchmark.labels("scan"), noise_mm)


def draw_scans(model: FaceModel, people: int, scans_each: int, noise_mm: float, seed: int, part: str) -> DecodedScans:
    """People drawn from a face model, each scanned several times with another calm expression.

    `part` names the set, such as "train": sets of one seed have different people.
    """
    generator = np.random.default_rng([seed, *part.encode()])
    return DecodedScans(model, draw_scan_labels(model, people, scans_each, generator), noise_mm)


class MappedScans(ScanSet):
    """Scans in an array (N, V, 3) in mm, memory-mapped where memory cannot hold them."""

    def __init__(self, vertices: np.ndarray, identity: np.ndarray) -> None:
        self.vertices, self.identity = vertices, np.asarray(identity, np.int64)
        self.num_vertices = vertices.shape[1]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.vertices[rows], np.float32)


def scan_table(folder: str | Path | None) -> pd.DataFrame:
    """The table of a folder of scans.

    Args:
        folder: Holds `scans.csv` with the columns file and identity, and the meshes (OBJ, PLY, or npz with `vertices`)
            that it names.

    Raises:
        RecfaceError: No folder is given, or a file or column is missing.
    """
    if folder is None:
        raise RecfaceError("sfm.scan.path: source 'folder' needs the folder with scans.csv; set sfm.scan.path")
    table = read_table(Path(folder) / CSV, COLUMNS, "a folder of scans")
    for row, name in enumerate(table["file"]):
        if not is_file(Path(folder) / name):
            raise RecfaceError(f"{Path(folder) / CSV}: line {line_of(table, row)}: {name} does not exist")
    return table


def folder_scans(model: FaceModel, folder: str | Path | None, cache: Path) -> MappedScans:
    """Read a folder of meshes once, and cache them as a memory-mapped array.

    Args:
        model: Face model whose topology the meshes have.
        folder: As in `scan_table`.
        cache: Folder of the array; other content of any file makes a new one.

    Raises:
        RecfaceError: As `scan_table`; or a mesh is missing or has another topology, a vertex that is not finite, or a
            size that no face has in mm.
    """
    table, folder = scan_table(folder), Path(str(folder))
    packed = cache / "scans" / f"{model.checksum[:8]}-{table_digest(folder / CSV, cache)}.npy"
    shape = (len(table), model.num_vertices, 3)
    files = [folder / name for name in table["file"]]
    scans = cached(packed, lambda: _kept(packed, shape), lambda: _pack(files, model, packed))
    return MappedScans(scans, np.unique(table["identity"].to_numpy(str), return_inverse=True)[1])


def _kept(packed: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array; None where it is missing or damaged."""
    with contextlib.suppress(RecfaceError):
        scans = read_array(packed)
        return scans if scans.shape == shape and scans.dtype == np.float32 else None
    return None


def _pack(paths: list[Path], model: FaceModel, target: Path) -> None:
    part = target.with_suffix(".part.npy")
    shape = (len(paths), model.num_vertices, 3)
    triangles = model.arrays()["triangles"]
    try:
        packed = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        for row, path in enumerate(paths):
            packed[row] = check_mesh(*read_mesh(path), model.num_vertices, triangles, path)
        packed.flush()
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def check_mesh(
    vertices: np.ndarray, triangles: np.ndarray | None, count: int, expected: np.ndarray, path: Path
) -> np.ndarray:
    """Return a mesh's vertices if it has `count` of them and, where it has triangles, the expected ones.

    Raises:
        RecfaceError: Another topology, a vertex that is not finite, or a size that no face has in mm.
    """
    if vertices.ndim != 2 or vertices.shape != (count, 3):
        raise RecfaceError(
            f"{path}: {vertices.shape[0]} vertices, the face model has {count}; scans need the topology of face_model"
        )
    if triangles is not None and (triangles.shape != expected.shape or (triangles != expected).any()):
        raise RecfaceError(f"{path}: other triangles than the face model's; scans need the topology of face_model")
    broken = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(broken):
        raise RecfaceError(f"{path}: vertex {broken[0]} is not finite ({len(broken)} such); fill holes or leave it out")
    require_millimeters(float(np.ptp(vertices, axis=0).max()), SMALLEST_MM, LARGEST_MM, str(path))
    return vertices
