"""What stored predictions of test people show: ROC curves, cumulative errors and maps of people, as panels.

Pairs and scores are those of `metrics`, but for the distance of shapes: from the stored Gram matrix it is the root mean
square over vertices, where the metrics take the mean.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.figures.plots import Panel, Series, draw_panels
from recface.metrics.functional.verification import cosine_scores, tar_at_far, verification_pairs

Arrays = Mapping[str, np.ndarray]
"""Content of a run's predictions.npz."""
Space = Literal["parameters", "geometry"]
SPACES: dict[Space, str] = {"parameters": "silhouette_param", "geometry": "silhouette_geometry"}
"""Spaces of shapes, with the metric that tells how well people are apart in them."""
FARS = np.geomspace(1e-3, 1, 61)
"""False accept rates of ROC curves; a thousandth is what some thousand impostor pairs can tell."""
MAPPED_PEOPLE = 10


@dataclass(frozen=True)
class Method:
    """A row of a table: its title, the index of its color, and the predictions of its seeds."""

    title: str
    color: int
    runs: Sequence[Arrays]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Metrics of the first seed, whose silhouettes are written below the maps."""


def _floats(arrays: Arrays, name: str) -> Tensor:
    if name not in arrays:
        raise RecfaceError(f"a run did not store {name}; run it again")
    return torch.from_numpy(np.asarray(arrays[name], np.float32))


def coordinates(arrays: Arrays, space: Space) -> Tensor:
    """Test photos as points (N, K): whitened parameters, or with RMS vertex distances in mm between them.

    Raises:
        RecfaceError: The run did not store what that takes.
    """
    points = _floats(arrays, "test_parameters")
    if space == "parameters":
        return points
    values, vectors = torch.linalg.eigh(_floats(arrays, "basis_gram").double())
    return points.double() @ (vectors * values.clamp_min(0).sqrt())


def pair_scores(arrays: Arrays, space: Space) -> tuple[Tensor, Tensor]:
    """Scores (Q,) of the benchmark's pairs of test photos, larger = more alike; and whether each is of one person."""
    pairs, points = verification_pairs(_people(arrays)), coordinates(arrays, space)
    if space == "parameters":
        return cosine_scores(points * _floats(arrays, "identity_sigma"), pairs), pairs.same
    return -(points[pairs.first] - points[pairs.second]).norm(dim=1), pairs.same


def _people(arrays: Arrays) -> Tensor:
    return torch.from_numpy(np.asarray(arrays["test_identity"], np.int64))


def roc_panels(methods: Sequence[Method], title: str) -> list[Panel]:
    """True accept rate at each false accept rate, by the rule of the tables: a panel for each of `SPACES`."""
    found = []
    for space in SPACES:
        series = []
        for method in methods:
            scored = [pair_scores(run, space) for run in method.runs]
            rates = [[float(tar_at_far(*pair, far)) for far in FARS] for pair in scored]
            series.append(Series(method.title, method.color, FARS, np.array(rates)))
        found.append(
            Panel(f"{title}: {space}", "false accept rate", "true accept rate", series, log="x", y_range=(0, 1))
        )
    return found


def error_panel(methods: Sequence[Method], title: str) -> Panel:
    """Share of test photos whose shape error is at most so large."""
    errors = [[np.sort(_floats(run, "test_shape_error").numpy()) for run in method.runs] for method in methods]
    every = [run for runs in errors for run in runs]
    grid = np.linspace(min(run[0] for run in every), max(np.quantile(run, 0.99) for run in every), 100)
    series = [
        Series(m.title, m.color, grid, np.array([np.searchsorted(run, grid, "right") / len(run) for run in runs]))
        for m, runs in zip(methods, errors, strict=True)
    ]
    return Panel(title, "shape error (mm)", "share of test photos", series, y_range=(0, 1))


def map_panels(methods: Sequence[Method]) -> list[list[Panel]]:
    """Photos of the first test people in the plane, by t-SNE: a row for each of `SPACES`, a panel for each method.

    Each method is shown by its first seed. Distances between groups mean nothing in such a map; it shows whether photos
    of one person, of one color and marker, are neighbors.

    Source: van der Maaten and Hinton, *Visualizing Data using t-SNE*, JMLR 2008, as in scikit-learn.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = []
    for space, metric in SPACES.items():
        row = []
        for method in methods:
            people = _people(method.runs[0]).numpy()
            shown = np.unique(people)[:MAPPED_PEOPLE]
            chosen = np.isin(people, shown)
            points = coordinates(method.runs[0], space)[torch.from_numpy(chosen)].numpy()
            if not points.std(axis=0).any():
                raise RecfaceError(f"{method.title} predicts one shape for everybody, which has no map")
            perplexity = min(10, (len(points) - 1) / 3)
            with threadpool_limits(1):  # threads of so few points only wait for one another
                placed = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
            series = [
                Series("", index, *placed[people[chosen] == person].T.astype(float))
                for index, person in enumerate(shown)
            ]
            silhouette = method.metrics.get(metric)
            below = "" if silhouette is None else f"silhouette of all people {silhouette:.2f}"
            row.append(Panel(f"{method.title}: {space}", below, "", series, map=True))
        rows.append(row)
    return rows


def run_pictures(arrays: Arrays, metrics: Mapping[str, float | None]) -> dict[str, bytes]:
    """PNGs of one run by name: its ROC curves, cumulative errors and maps, without those that it has too little for."""
    one, found = [Method("this run", 0, [arrays], metrics)], {}
    draws: dict[str, Callable[[], list[Panel]]] = {
        "roc": lambda: roc_panels(one, "test people"),
        "errors": lambda: [error_panel(one, "test people")],
        "maps": lambda: [panel for row in map_panels(one) for panel in row],
    }
    for name, draw in draws.items():
        with contextlib.suppress(RecfaceError):
            found[name] = draw_panels([draw()])["png"]
    return found
