"""Do recognition and reconstruction pull a network's shape apart? The gradients of both, compared along training.

SFM's question (Jiang et al. 2023): Gaussian parameters make the two losses conflict, hyperspherical ones less. The
measure is ours: the cosine of the two gradients with respect to the weights that both reach, below 0 where a step along
one makes the other worse (Yu et al., *Gradient surgery*, NeurIPS 2020, call that conflicting).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recface.errors import RecfaceError
from recface.files.atomic import append_json_line, write_bytes
from recface.files.guard import is_number
from recface.files.json_files import read_json_lines
from recface.losses.processes import summed

RECOGNITION = ("separation",)
RECONSTRUCTION = ("landmark", "pixel", "perceptual")
FIELDS = ("step", "recognition", "reconstruction", "cosine")


def gradient_cosine(first: Tensor, second: Tensor, parameters: Iterable[nn.Parameter]) -> float:
    """Cosine of two scalars' gradients, over all parameters as one vector; NaN where a gradient is zero.

    Gradients of all processes are summed; those of parameters that a scalar does not reach count as zero. The graph is
    kept.
    """
    parameters = list(parameters)

    def gradient(scalar: Tensor) -> Tensor:
        parts = torch.autograd.grad(scalar, parameters, retain_graph=True, materialize_grads=True)
        return summed(torch.cat([part.flatten().double() for part in parts]))

    one, other = gradient(first), gradient(second)
    return float(torch.dot(one, other) / (one.norm() * other.norm()))


class ConflictLog:
    """Appends a JSON line to a file at steps that `every` divides: both losses and the cosine of their gradients.

    It changes no gradient. This process begins at `first_step`: later lines of a killed one are dropped. One without a
    path takes part in the sums of a process that writes.
    """

    def __init__(self, path: Path | None, every: int, first_step: int = 0) -> None:
        self.path, self.every = path, every
        if path is None:
            return
        kept = [line for line in read_lines(path) if line["step"] < first_step]
        write_bytes(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def look(
        self, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Iterable[nn.Parameter]
    ) -> None:
        """Measure a step, if it is due, by loss terms with their graph and their weights.

        `parameters` are the weights of the network that both losses reach.
        """
        if step % self.every or not any(name in terms for name in RECOGNITION):
            return
        recognition, reconstruction = (
            sum((weights[name] * terms[name] for name in names if name in terms and weights[name] > 0), torch.zeros(()))
            for names in (RECOGNITION, RECONSTRUCTION)
        )
        cosine = gradient_cosine(recognition, reconstruction, parameters)
        # The separation term itself, so that its weight does not show in the curve.
        values = (step, float(terms[RECOGNITION[0]].detach()), float(reconstruction.detach()), cosine)
        if self.path is not None:
            append_json_line(self.path, dict(zip(FIELDS, values, strict=True)))


def read_lines(path: Path) -> list[dict[str, float]]:
    """Lines of a `ConflictLog`; [] where there is none.

    Raises:
        RecfaceError: A line is damaged.
    """
    lines = read_json_lines(path) if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not all(is_number(line.get(name, "")) for name in FIELDS):  # null is NaN
            raise RecfaceError(f"{path}: line {number}: needs the numbers {', '.join(FIELDS)}; remove the line")
    return lines


def conflict_curves(path: Path) -> dict[str, np.ndarray]:
    """The curves of a log as arrays under names that begin with conflict_; {} where there are none."""
    lines = read_lines(path)
    curves = {f"conflict_{name}": np.array([line[name] for line in lines], np.float32) for name in FIELDS}
    return curves if lines else {}


def conflict_metrics(curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Summarize the curves that `conflict_curves` found.

    Returns:
        gradient_cosine: mean over stage 2; conflict_share: share of the steps with a cosine below 0; recognition_loss
        and reconstruction_loss: means over the last quarter.
    """
    cosine = curves["conflict_cosine"].astype(np.float64)
    last = slice(3 * len(cosine) // 4, None)
    return {
        "gradient_cosine": float(np.nanmean(cosine)),
        "conflict_share": float((cosine[np.isfinite(cosine)] < 0).mean()),
        "recognition_loss": float(curves["conflict_recognition"][last].mean()),
        "reconstruction_loss": float(curves["conflict_reconstruction"][last].mean()),
    }
