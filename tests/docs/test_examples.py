"""The scripts of examples/ run, and give what they say."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT


def test_the_tour_of_shapes_runs(tmp_path, monkeypatch, cache_dir, capsys):
    monkeypatch.setenv("RECFACE_CACHE", str(cache_dir.resolve()))
    tour = runpy.run_path(str(ROOT / "examples" / "shapes.py"))
    numbers = tour["main"](str(tmp_path))
    # Aligning may bring the two faces nearer, never farther, and half a standard deviation of noise tells people apart.
    assert 0 < numbers["error_mm"] < numbers["distance_mm"]
    assert numbers["accuracy"] > 0.8
    assert numbers["auc"] == pytest.approx(_auc(tmp_path), abs=1e-6)
    pixels = np.asarray(Image.open(tmp_path / "two_faces.png"))
    assert pixels.shape == (192, 384, 3) and 0.2 < (pixels < 250).mean() < 0.8
    assert "two faces" in capsys.readouterr().out


def _auc(folder) -> float:
    """The area from its definition: how often a genuine pair is nearer than an impostor pair, ties half."""
    with np.load(folder / "predictions" / "predictions.npz") as arrays:
        rows = {name: row for row, name in enumerate(arrays["ids"])}
        shapes = arrays["vertices"].astype(np.float64)
    lines = [line.split(",") for line in (folder / "pairs.csv").read_text().splitlines()[1:]]
    distances = [np.linalg.norm(shapes[rows[a]] - shapes[rows[b]], axis=1).mean() for a, b, _, _ in lines]
    same = np.array([line[2] == "1" for line in lines])
    genuine, impostor = np.array(distances)[same], np.array(distances)[~same]
    difference = impostor[None, :] - genuine[:, None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())
