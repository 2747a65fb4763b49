"""Photographs: of known formats, of a bearable size, and upright."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from recface.errors import RecfaceError
from recface.files.guard import guarded

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Pillow knows many more; for some it starts other programs."""
LARGEST_PIXELS = 100_000_000


def read_image(path: str | Path) -> Image.Image:
    """Read a photograph as RGB, turned upright by its EXIF orientation, as OpenCV does.

    Raises:
        RecfaceError: The file is missing, of another format, damaged or too large, or has more than 8 bits a channel.
    """
    with guarded(path, "image", f"give one of {', '.join(FORMATS)}"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
        with Image.open(path, formats=FORMATS) as photo:
            if photo.width * photo.height > LARGEST_PIXELS:
                raise RecfaceError(
                    f"{path}: {photo.width:,} x {photo.height:,} pixels; at most {LARGEST_PIXELS:,} in all are read"
                )
            if photo.mode.startswith(("I", "F")):  # conversion would clip it to white
                raise RecfaceError(f"{path}: more than 8 bits a channel; convert it to 8 bits")
            upright = ImageOps.exif_transpose(photo).convert("RGB")
    return upright
