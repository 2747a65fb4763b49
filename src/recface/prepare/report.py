"""What a preparation did: report.json, report.md, the skipped photos one by one, and a sheet of crops."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from recface.data.store import HEADER, PhotoStore
from recface.files.atomic import write_bytes, write_json
from recface.prepare.dataset import Dataset

SHEET = (8, 6)  # crops across and down
TILE = 112  # pixels


def write_report(out: Path, dataset: Dataset, parts: Sequence[dict[str, Any]]) -> None:
    """Write report.json, report.md, skipped.csv and, of a store, sheet.png.

    Args:
        out: The prepared folder.
        dataset: What it was made of.
        parts: Of `make_shard`, in order.
    """
    people: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for part in parts:
        people.update(part["people"])
        splits.update(part["splits"])
    skipped = [(str(file), str(reason)) for part in parts for file, reason in part["skipped"]]
    each = np.array(sorted(people.values()), np.int64)
    reasons = Counter(re.sub(r"\S*[/\\]\S*", "...", reason) for _, reason in skipped)
    report = {
        "dataset": dataset.title,
        "license": dataset.license,
        "asked for at": dataset.ask,
        "found": sum(part["rows"] for part in parts),
        "kept": sum(part["kept"] for part in parts),
        "skipped": dict(reasons.most_common()),
        "splits": dict(sorted(splits.items())),
        "with landmarks": sum(part["landmarks"] for part in parts),
        "people": len(people),
        "photos a person": {
            key: int(np.percentile(each, share)) for key, share in (("least", 0), ("median", 50), ("most", 100))
        }
        if people
        else {},
    }
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", _page(report).encode())
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("file", "reason"), *skipped])
    write_bytes(out / "skipped.csv", stream.getvalue().encode())
    if (out / HEADER).is_file():
        picture = io.BytesIO()
        contact_sheet(PhotoStore(out)).save(picture, "PNG")
        write_bytes(out / "sheet.png", picture.getvalue())


def _page(report: dict[str, Any]) -> str:
    lines = [f"# {report['dataset']}", ""]
    for key, value in report.items():
        if isinstance(value, dict):
            value = "; ".join(f"{name}: {count:,}" for name, count in value.items()) or "none"
        lines.append(f"- {key}: {value:,}" if isinstance(value, int) else f"- {key}: {value}")
    return "\n".join((*lines, ""))


def contact_sheet(store: PhotoStore) -> Image.Image:
    """Crops from all over a store, with their landmarks where they are known."""
    across, down = SHEET
    rows = np.unique(np.linspace(0, len(store) - 1, across * down).astype(int))
    sheet = Image.new("RGB", (TILE * across, TILE * -(-len(rows) // across)))
    images, landmarks = store.images(rows), store.landmarks(rows)
    for place, (image, marks) in enumerate(zip(images, landmarks, strict=True)):
        tile = Image.fromarray(image.transpose(1, 2, 0)).resize((TILE, TILE), Image.Resampling.BOX)
        pen = ImageDraw.Draw(tile)
        for x, y in marks[np.isfinite(marks).all(axis=1)]:
            column, row = (1 + x) * TILE / 2, (1 - y) * TILE / 2
            pen.ellipse((column - 1, row - 1, column + 1, row + 1), fill=(80, 255, 120))
        sheet.paste(tile, (TILE * (place % across), TILE * (place // across)))
    return sheet
