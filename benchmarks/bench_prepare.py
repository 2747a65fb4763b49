"""Photos a second and core of `recface prepare`, from a JPEG of 250 pixels to a framed one of 224, beside plain Pillow.

    python benchmarks/bench_prepare.py [--photos 200] [--repeats 5]

Both sides decode, sample an affine map and encode the same photos in memory, in one thread. The target of the rate is
for a core of its own; CPU seconds are counted, so that a busy machine does not change it much.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from measured import Line, in_turn, keep
from PIL import Image
from rich.console import Console

from recface.data.framing import five_of, placement
from recface.prepare.crops import QUALITY, crop, fitted_points
from recface.prepare.dataset import Row
from recface.prepare.preparation import canonical_points

SIZE, SIDE = 224, 250


def photos(count: int) -> list[tuple[bytes, Row]]:
    """Noisy photos with five points of a face, as VGGFace2 has them."""
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        coarse = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        photo = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        noisy = np.asarray(photo, np.int16) + rng.integers(-12, 13, (SIDE, SIDE, 3))
        stream = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        points = five_of(canonical_points()) * rng.uniform(0.6, 0.75) + rng.normal(0, 0.02, (5, 2))
        five = np.stack([1 + points[:, 0], 1 - points[:, 1]], axis=1) * SIDE / 2
        made.append((stream.getvalue(), Row(str(number), Path(), five=five)))
    return made


def plain(data: bytes, row: Row) -> bytes:
    """Pillow alone: decode, affine map by the same points, encode."""
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    fit = fitted_points(row, canonical_points())
    assert fit is not None
    a, b = placement(*fit, photo.size)
    step, origin = 2 / (SIZE * a), (-1 + 1j - b) / a
    affine = (step.real, step.imag, origin.real, -step.imag, step.real, -origin.imag)
    stream = io.BytesIO()
    cut = photo.transform((SIZE, SIZE), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    cut.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    made, canonical = photos(options.photos), canonical_points()
    ours, other = in_turn(
        lambda: [crop(data, row, canonical, SIZE, lambda _: None) for data, row in made],
        lambda: [plain(data, row) for data, row in made],
        repeats=options.repeats,
    )
    rates = [1000 * options.photos / time for time in (ours, other)]
    what = f"JPEG of {SIDE} pixels to a framed one of {SIZE}, against plain Pillow"
    keep("prepare", [Line(what, *rates, "photos/s a core", "ours >= 300", rate=True)])
    Console().print(f"{what}: {rates[0]:.0f} and {rates[1]:.0f} photos/s a core")


if __name__ == "__main__":
    main()
