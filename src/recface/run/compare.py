"""Two people in photos, compared by the geometry of their neutral shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recface.data.found_faces import FoundFaces
from recface.data.framing import canonical_landmarks
from recface.data.workbench import Workbench
from recface.face_model import FaceModel
from recface.figures.error_map import draw_error_map
from recface.files.atomic import write_bytes
from recface.metrics.face_comparison import Comparison, compare_faces
from recface.run.evaluation import Network, validation_threshold
from recface.run.reconstruct import predict, reframe
from recface.run.shipped import TrainedNetwork
from recface.variants import Reconstruction

LARGEST_MM = 6.0
"""Distance at the bright end of the picture, so that any two pictures compare."""


@dataclass(frozen=True)
class ComparedPeople:
    """Shape parameters (2, K) of two people, of a face model, and what comparing them gave."""

    face_model: FaceModel
    identity: Tensor
    threshold_mm: float
    comparison: Comparison


def compare_people(
    bench: Workbench | TrainedNetwork, variant: Reconstruction, first: FoundFaces, second: FoundFaces
) -> ComparedPeople:
    """Compare two people, each by the fused shape of one or more photos.

    Args:
        bench: Of the network; a run's threshold is calibrated anew on its validation people.
        variant: The network.
        first: Faces of one person.
        second: Faces of the other, or the same.
    """
    if isinstance(bench, TrainedNetwork):
        threshold = bench.threshold_mm
    else:
        network = Network(variant)
        threshold = validation_threshold(network, bench, network.face_model)
    canonical = canonical_landmarks(bench.face_model)
    sides = [predict(variant, reframe(variant, side, canonical).images) for side in (first, second)]
    identity = torch.cat([side.fused()[0] for side in sides])
    model = sides[0].face_model
    return ComparedPeople(model, identity, threshold, compare_faces(identity[0], identity[1], model, threshold))


def write_comparison(out: Path, found: ComparedPeople, names: Sequence[str]) -> Path:
    """Write the map of distances on both shapes, named by `names`, to error_map.png in a folder; returns its path."""
    shapes, errors = found.face_model.shape(found.identity), found.comparison.error_map.expand(2, -1)
    files = draw_error_map(found.face_model, shapes, errors, names, LARGEST_MM)
    write_bytes(out / "error_map.png", files["png"])
    return out / "error_map.png"
