"""A page of photos from every split of the embedded benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recface.data.benchmark import Benchmark

ROWS = {
    "identity": "identity photos: people with names, no landmarks (one person a row)",
    "landmark": "landmark photos: 68 landmarks each, nobody is named",
    "test": "test people, seen nowhere else; their true shapes are known (one person a row)",
    "control_shape": "control: one shape under different albedos",
    "control_albedo": "control: different shapes under one albedo",
}
COLUMNS, TILE, CAPTION = 14, 96, 22


def _tile(photo: np.ndarray, landmarks: np.ndarray | None) -> Image.Image:
    """Enlarge a photo (3, S, S) and mark its landmarks (68, 2)."""
    tile = Image.fromarray(photo.transpose(1, 2, 0)).resize((TILE, TILE), Image.Resampling.BICUBIC)
    if landmarks is not None:
        draw = ImageDraw.Draw(tile)
        for x, y in (landmarks * [1, -1] + 1) * TILE / 2:
            draw.rectangle([x - 0.5, y - 0.5, x + 0.5, y + 0.5], fill=(255, 40, 40))
    return tile


def _choose(split: str, labels: dict[str, np.ndarray], row: int) -> np.ndarray:
    """Photos of a row: one person's, or (control_albedo) one of each person who shares an albedo."""
    if split == "landmark":
        return np.arange(len(labels["landmarks"]))[row * COLUMNS : (row + 1) * COLUMNS]
    if split == "control_albedo":
        together = np.flatnonzero(labels["albedo"] == row)
        return together[np.unique(labels["identity"][together], return_index=True)[1]]
    return np.flatnonzero(labels["identity"] == row)


def draw_benchmark_page(benchmark: Benchmark, path: Path, rows: int = 2) -> None:
    """Draw some rows of photos of every split as PNG."""
    page = Image.new("RGB", (COLUMNS * TILE, len(ROWS) * (CAPTION + rows * TILE)), "white")
    top = 0
    for split, caption in ROWS.items():
        ImageDraw.Draw(page).text((4, top + 3), caption, fill="black", font_size=14)
        top += CAPTION
        images, labels = benchmark.images(split), benchmark.labels(split)
        for row in range(rows):
            for column, index in enumerate(_choose(split, labels, row)[:COLUMNS]):
                marks = labels["landmarks"][index] if split == "landmark" else None
                page.paste(_tile(images[index], marks), (column * TILE, top))
            top += TILE
    # A palette is enough for noisy photos, and a third of the size.
    page.quantize(256).save(path, optimize=True)
