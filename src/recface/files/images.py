"""Photographs: of known formats, of a bearable size, and upright."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from recface.errors import RecfaceError
from recface.files.guard import guarded

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow knows many more; for some it starts other programs."""
CAMERAS = (".heic", ".heif", ".avif")


def read_image(path: str | Path) -> Image.Image:
    """Read a photograph as RGB, turned upright by its EXIF orientation, as OpenCV does; of an animation its start.

    Raises:
        RecfaceError: The file is missing, of another format, damaged or too large, or has more than 8 bits a channel.
    """
    remedy = f"give one of {', '.join(FORMATS)}"
    if Path(path).suffix.lower() in CAMERAS:
        remedy += ": `heif-convert` (libheif) writes JPEG, and so does a phone set to the most compatible format"
    with guarded(path, "image", remedy), warnings.catch_warnings():
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
