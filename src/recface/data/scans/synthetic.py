"""Scans decoded from a face model on demand: parameters, an expression and a seed of the noise each. Ours."""

from __future__ import annotations

import numpy as np

from recface.data.benchmark import Benchmark
from recface.data.benchmark.generate import SCAN_MAX_EXPRESSION
from recface.data.benchmark.scene import draw_expressions
from recface.data.scans.scan_set import ScanSet
from recface.face_model import FaceModel


class DecodedScans(ScanSet):
    """Scans that take no room on disk: a face model's shapes, with the noise of a scanner.

    Args:
        model: Face model that the scans are decoded with.
        identity: (N,) person of each scan.
        parameters: (N, K) whitened identity parameters.
        expression: (N, E) coefficients.
        noise_seed: (N,) seed of each scan's noise: a scan is the same whenever it is decoded.
        noise_mm: Standard deviation of the noise of every coordinate, in mm.
    """

    def __init__(
        self,
        model: FaceModel,
        identity: np.ndarray,
        parameters: np.ndarray,
        expression: np.ndarray,
        noise_seed: np.ndarray,
        noise_mm: float,
    ) -> None:
        arrays = model.arrays()
        self.identity, self.num_vertices, self.noise_mm = np.asarray(identity, np.int64), model.num_vertices, noise_mm
        self.parameters, self.expression = parameters.astype(np.float32), expression.astype(np.float32)
        self.noise_seed = noise_seed
        self._mean = arrays["mean"].ravel()
        self._basis = (arrays["identity_basis"] * arrays["identity_sigma"]).T.copy()
        self._blend = arrays["expression_basis"].T.copy()

    def clean(self, rows: np.ndarray | slice, expression: bool = True) -> np.ndarray:
        """Scans without noise (B, V, 3); also without expression, where asked: the person's true neutral face."""
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
    """The registered scans of the embedded benchmark.

    Args:
        model: Face model of the benchmark.
        benchmark: The benchmark on disk.
        noise_mm: Noise of every coordinate, in mm.
    """
    labels = benchmark.labels("scan")
    return DecodedScans(
        model,
        labels["identity"],
        labels["identity_parameters"],
        labels["expression"],
        labels["noise_seed"],
        noise_mm,
    )


def draw_scans(model: FaceModel, people: int, scans_each: int, noise_mm: float, seed: int, part: str) -> DecodedScans:
    """People drawn from a face model, each scanned several times with another expression.

    Args:
        model: Any face model.
        people: Number of people P.
        scans_each: Scans of each.
        noise_mm: Noise of every coordinate, in mm.
        seed: Seed of everything that is drawn.
        part: Name of the set, such as "train": sets of one seed share nobody.

    Returns:
        P * scans_each scans. Expressions are calm, as in the embedded benchmark's scans.
    """
    generator = np.random.default_rng([seed, *part.encode()])
    person = np.repeat(np.arange(people), scans_each)
    parameters = generator.normal(size=(people, model.num_identity))[person]
    expression = SCAN_MAX_EXPRESSION * draw_expressions(model.expression_names, len(person), generator)
    noise_seed = generator.integers(2**31, size=len(person))
    return DecodedScans(model, person, parameters, expression, noise_seed, noise_mm)
