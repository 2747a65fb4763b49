"""Photographs: of known formats, of a bearable size, and upright."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from recface.errors import RecfaceError
from recface.files.guard import guarded

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Pillow knows many more; for some it starts other programs."""


def read_image(path: str | Path) -> Image.Image:
    """Read a photograph as RGB, turned upright by its EXIF orientation, as OpenCV does.

    Raises:
        RecfaceError: The file is missing, of another format, damaged or too large, or has more than 8 bits a channel.
    """
    with guarded(path, "image", f"give one of {', '.join(FORMATS)}"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            photo = Image.open(path, formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise RecfaceError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from None
        with photo:
            if photo.mode.startswith(("I", "F")):  # conversion would clip it to white
                raise RecfaceError(f"{path}: more than 8 bits a channel; convert it to 8 bits")
            upright = ImageOps.exif_transpose(photo).convert("RGB")
    return upright
