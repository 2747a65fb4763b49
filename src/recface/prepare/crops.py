"""From a photo of any size to a framed JPEG: one decoding, one affine map, one encoding."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from recface.data.framing import five_of, framed, placement
from recface.errors import SkippedError, one_line
from recface.files.images import FORMATS
from recface.prepare.dataset import Row

QUALITY = 95
EXIF_ORIENTATION = 0x0112
Detector = Callable[[Image.Image], np.ndarray | None]
"""From a photo to the five points of its face, (5, 2) in pixels, or None where it finds none."""


def fitted_points(row: Row, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of a face in pixels and where the suite's framing has them: 68 landmarks, else five points, else a box.

    Of a box, the center and the mean length of the sides are fitted to those of the box round the canonical landmarks.
    """
    if row.landmarks is not None:
        return row.landmarks, canonical
    if row.five is not None:
        return row.five, five_of(canonical)
    if row.box is not None:
        return _across(np.reshape(row.box, (2, 2))), _across(np.stack([canonical.min(0), canonical.max(0)]))
    return None


def _across(corners: np.ndarray) -> np.ndarray:
    """Ends of the horizontal line through the center of a box (2, 2) that is as long as its sides are on average."""
    center, half = corners.mean(0), np.abs(np.diff(corners, axis=0)).mean() / 2
    return np.stack([center - [half, 0], center + [half, 0]])


def opened(data: bytes) -> Image.Image:
    """A photo that is not decoded yet, of a known format and a bearable size.

    Raises:
        SkippedError: It is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            photo = Image.open(io.BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise SkippedError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except Exception as error:
            raise SkippedError(f"not a readable image ({one_line(error, 60).partition(' <')[0]})") from None
    if photo.mode.startswith(("I", "F")):
        raise SkippedError("more than 8 bits a channel")
    return photo


def decoded(photo: Image.Image) -> Image.Image:
    """A photo's pixels as RGB, upright.

    Raises:
        SkippedError: It is damaged.
    """
    try:
        turned = photo.getexif().get(EXIF_ORIENTATION, 1) != 1
        photo.load()
        return (ImageOps.exif_transpose(photo) if turned else photo).convert("RGB")
    except Exception as error:
        raise SkippedError(f"not a readable image ({one_line(error, 60)})") from None


def crop(
    data: bytes, row: Row, canonical: np.ndarray, size: int, detect: Detector
) -> tuple[bytes, np.ndarray | None, tuple[complex, complex]]:
    """Decode, crop and encode a photo.

    Args:
        data: The image file.
        row: What is known of it.
        canonical: (68, 2) positions of `canonical_landmarks`.
        size: Width and height S of the crop.
        detect: Finds the face where the row has no position.

    Returns:
        The crop (S, S) as JPEG; its landmarks, (68, 2) normalized float32, where the row has them; and its `placement`.

    Raises:
        SkippedError: Why it is left out.
    """
    photo = opened(data)
    fit, shrink, whole = fitted_points(row, canonical), 1, photo.size
    if fit is not None and photo.format == "JPEG":  # decoded at a half or less where that is as fine as the crop
        finer = 2 / (size * abs(placement(*fit, (10**9, 10**9))[0]))
        photo.draft("RGB", (math.ceil(whole[0] / max(finer, 1)), math.ceil(whole[1] / max(finer, 1))))
        shrink = round(whole[0] / photo.size[0])
    image = decoded(photo)
    if row.framed:
        if image.width != image.height:
            raise SkippedError("framed, but not square")
        a, b = 2 / image.width + 0j, -1 + 1j
    else:
        if fit is None:
            found = detect(image)
            if found is None:
                raise SkippedError("no face found")
            fit = found, five_of(canonical)
        a, b = placement(*fit, (image.width * shrink, image.height * shrink))
    stream = io.BytesIO()
    framed(image, a * shrink, b, size).save(stream, "JPEG", quality=QUALITY)
    if row.landmarks is None:
        return stream.getvalue(), None, (a, b)
    moved = a * (row.landmarks[:, 0] - 1j * row.landmarks[:, 1]) + b
    return stream.getvalue(), np.stack([moved.real, moved.imag], -1).astype(np.float32), (a, b)
