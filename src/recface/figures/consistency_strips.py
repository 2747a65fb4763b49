"""One person's photos above the neutral shapes that methods make of them: equal shapes are what recognition needs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import torch

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.figures.comparison_page import shape_tile
from recface.figures.plots import PAGE, Files, new_figure, style, to_files
from recface.files.arrays import read_array, read_arrays
from recface.files.cache import default_cache_dir
from recface.files.json_files import read_json
from recface.metrics.functional import align

CAPTION = 0.16  # inches above and below


def cached_photos(manifest: str | None, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Photos (N, 3, S, S) of a split of the embedded benchmark, and their labels, from the cache; nothing is generated.

    Raises:
        RecfaceError: The cache lacks the benchmark whose manifest's hash this is.
    """
    folder = default_cache_dir() / "benchmark"
    for path in sorted(folder.glob("*/meta.json")):
        if read_json(path).get("manifest_hash") == manifest:
            return read_array(path.parent / f"{split}_images.npy"), read_arrays(path.parent / f"{split}_labels.npz")
    raise RecfaceError(f"{folder}: no benchmark {manifest} here; a run makes it, and RECFACE_CACHE says where it is")


def draw_strips(
    face_model: FaceModel,
    photos: np.ndarray,
    true: np.ndarray,
    methods: Mapping[str, np.ndarray],
    description: str | None = None,
) -> Files:
    """Draw a row of photos, and below it a row of shapes for each method, with the mean of these shapes at its end.

    The true shape stands above the means. Each method's label tells how far its shapes lie from their mean: the mean
    distance over the face region in mm, aligned there.

    Args:
        face_model: Of all parameters.
        photos: (N, 3, S, S) uint8 of one person.
        true: (K,) parameters of the person.
        methods: Title to parameters (N, L), L <= K; missing modes are 0.
        description: What the figure was made from.
    """
    tiles = [("photo", [*photos.transpose(0, 2, 3, 1), shape_tile(face_model, _shapes(face_model, true[None])[0])])]
    for title, parameters in methods.items():
        shapes = _shapes(face_model, parameters)
        mean, region = shapes.mean(0), face_model.face_mask
        inner = mean[region].expand(len(shapes), -1, -1)
        spread = float((align(shapes[:, region], inner) - inner).norm(dim=-1).mean())
        row = [shape_tile(face_model, shape) for shape in [*shapes, mean]]
        tiles.append((f"{textwrap.fill(title, 11)}\n{spread:.2f} mm", row))
    with style():
        columns = len(photos) + 2  # the first for labels
        height = PAGE / columns * len(tiles)
        figure = new_figure(PAGE, height + 2 * CAPTION)
        figure.set_layout_engine("none")
        margin, side = CAPTION / (height + 2 * CAPTION), (1 - 2 * CAPTION / (height + 2 * CAPTION)) / len(tiles)
        for number, (label, row) in enumerate(tiles):
            bottom = 1 - margin - (number + 1) * side
            for column, tile in enumerate(row, 1):
                axes = figure.add_axes((column / columns, bottom, 1 / columns, side))
                axes.imshow(np.asarray(tile), interpolation="lanczos")
                axes.set_axis_off()
            figure.text(0.003, bottom + side / 2, label, va="center", fontsize=6)
        figure.text(1 - 0.5 / columns, 1 - 0.9 * margin, "true shape", ha="center", fontsize=6)
        figure.text(1 - 0.5 / columns, 0.3 * margin, "mean of row", ha="center", fontsize=6)
        return to_files(figure, description)


def _shapes(face_model: FaceModel, parameters: np.ndarray) -> torch.Tensor:
    padded = torch.zeros(len(parameters), face_model.num_identity)
    padded[:, : parameters.shape[1]] = torch.from_numpy(np.asarray(parameters, np.float32))
    return face_model.shape(padded)
