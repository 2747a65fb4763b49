"""Metrics of a method that did not run here, from its predictions."""

from __future__ import annotations

from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.experiment.evaluate import Predictions, evaluate_run
from recface.experiment.export import EXPORTED
from recface.experiment.photos import evaluate_photos, open_photos
from recface.experiment.setup import Workbench
from recface.face_model import save
from recface.face_model.npz import LEARNED_FILE
from recface.peers.imported import Imported
from recface.tracking import RunFolder

OF_PARAMETERS = ("param_", "prior_kl")
"""Beginnings of the metrics on parameters, which those that only span a method's vertices are not."""


def evaluate_imported(
    peer: Imported, bench: Workbench, photos: str | None, folder: RunFolder
) -> tuple[dict[str, dict[str, float]], Predictions]:
    """Evaluate whole sets of photos, those that were predicted; what time it took is not known.

    Args:
        peer: The predictions.
        bench: Face model and benchmark.
        photos: Folder of photographs, or None.
        folder: Gets the face model that spans the predicted vertices, where it is not the benchmark's.

    Returns:
        As `evaluate_run`, with the block "photos" where those were predicted.

    Raises:
        RecfaceError: An id that no photo has, or a set that is predicted in part only.
    """
    model = bench.face_model if peer.own_parameters else peer.face_model
    known = {name for split in EXPORTED for name in embedded_source(bench.benchmark, split).ids}
    photographs = open_photos(bench, photos) if photos else None
    known |= set(photographs.ids) if photographs else set()
    if strange := [name for name in peer.predictions.ids if name not in known]:
        hint = "" if photos else "; if these are photographs, give data.photos=DIR"
        raise RecfaceError(
            f"{peer.predictions.where}: id {strange[0]} is no photo of this benchmark ({len(strange)} of "
            f"{len(peer.predictions)} are not): export its photos again with the same overrides{hint}"
        )
    metrics, predictions = evaluate_run(peer, bench, model, peer.covers)
    if photographs and peer.covers(photographs):
        metrics["photos"], found = evaluate_photos(peer, bench, photographs, model)
        predictions |= found
    if not peer.own_parameters:
        save(model, folder.path / LEARNED_FILE)
        for values in metrics.values():
            for key in [key for key in values if key.startswith(OF_PARAMETERS) or key.endswith("_param")]:
                del values[key]
    return metrics, predictions
