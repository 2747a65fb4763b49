"""Keypoints of predicted meshes by barycentric coordinates on a template, in REALY's form, and its mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import guarded
from recface.files.meshes import read_mesh
from recface.metrics.protocols.protocol import Predictions

LARGEST_BYTES = 10_000_000


def with_template(predictions: Predictions, template: Path, mask: Path | None = None) -> Predictions:
    """Give predictions the points that a template names on their topology.

    Args:
        predictions: With vertices (N, V, 3).
        template: REALY's `NAME.txt`, a JSON list of [triangle, weight, weight], where the third corner has the rest;
            or its `NAME.obj`. Both lie side by side, and triangles count from 0 in the order of the OBJ.
        mask: V numbers, 0 or 1: which vertices may be measured (REALY's option --template_mask).

    Raises:
        RecfaceError: A file cannot be read, or is of another topology than the predictions.
    """
    vertices = predictions.array("vertices")
    count, text, mesh = vertices.shape[1], template.with_suffix(".txt"), template.with_suffix(".obj")
    places, triangles = read_mesh(mesh)
    if len(places) != count or triangles is None:
        raise RecfaceError(f"{mesh}: {len(places):,} vertices, the predictions have {count:,}; give their template")
    with guarded(text, "list of keypoints", "REALY gives such a file for a template", LARGEST_BYTES):
        rows = np.array(json.loads(text.read_text("utf-8")), np.float64)
        if rows.ndim != 2 or rows.shape[1] != 3 or not np.isfinite(rows).all():
            raise ValueError(f"it must hold [triangle, weight, weight] of each keypoint, not {rows.shape}")
        if not ((rows[:, 0] >= 0) & (rows[:, 0] < len(triangles)) & (rows[:, 0] % 1 == 0)).all():
            raise ValueError(f"it names triangles that {mesh.name} does not have")
    weights = np.column_stack([rows[:, 1:], 1 - rows[:, 1:].sum(axis=1)])
    corners = triangles[rows[:, 0].astype(np.int64)]
    points = np.stack([np.einsum("pkc,pk->pc", shape[corners], weights) for shape in vertices])
    return replace(predictions, points=points, mask=None if mask is None else read_mask(mask, count))


def read_mask(path: Path, count: int) -> np.ndarray:
    """(count,) bool, from as many numbers 0 or 1 with commas, blanks or line ends between them."""
    with guarded(path, "mask", "give 0 or 1 for each vertex of the template", LARGEST_BYTES):
        words = path.read_text("utf-8").replace(",", " ").split()
        if len(words) != count or not set(words) <= {"0", "1"}:
            raise ValueError(f"{len(words):,} numbers for {count:,} vertices, each must be 0 or 1")
    return np.array(words) == "1"
