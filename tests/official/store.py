"""A prepared store in miniature, as `recface prepare` writes it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from recface.data.store import StoredPhoto, finish_store, write_shard

HEADER = {"name": "miniature", "framing": "the suite's", "license": "CC0-1.0", "source": "noise"}


def noise_jpeg(random: np.random.Generator, size: int) -> bytes:
    """A JPEG (S, S) of smooth noise."""
    stream = io.BytesIO()
    coarse = Image.fromarray(random.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    coarse.resize((size, size), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def stored_photos(people: int, photos_each: int, size: int, landmarks: bool, seed: int = 0) -> list[StoredPhoto]:
    """Photos of some people, the last of whom is of the split "test", and one photo of nobody known."""
    random, found = np.random.default_rng(seed), []
    for number in range(people * photos_each + 1):
        person = number // photos_each
        named = person < people
        found.append(
            StoredPhoto(
                file=f"n{person:06d}/{number:04d}_01.jpg",
                image=noise_jpeg(random, size),
                identity=f"n{person:06d}" if named else "",
                landmarks=random.uniform(-0.6, 0.6, (68, 2)).astype(np.float32) if landmarks and named else None,
                split="test" if person == people - 1 else "train",
                extra={"yaw": str(number)},
            )
        )
    return found


def write_store(folder: Path, people: int = 4, photos_each: int = 5, size: int = 32, landmarks: bool = True) -> None:
    """Write a store of three shards, the second without a row."""
    photos = stored_photos(people, photos_each, size, landmarks)
    for number, part in enumerate((photos[:7], [], photos[7:])):
        write_shard(folder, number, part)
    finish_store(folder, HEADER | {"size": size})
