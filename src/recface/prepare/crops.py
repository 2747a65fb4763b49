"""From a photo of any size to a framed JPEG: one decoding, one affine map, one encoding."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from recface.data.framing import framing_of
from recface.errors import one_line
from recface.files.images import FORMATS
from recface.prepare.dataset import Row, SkippedError

QUALITY = 95
EXIF_ORIENTATION = 0x0112
SMALLEST_SIDE = 16  # of a face in the photo, in pixels: less is not worth a crop
COARSEST = 1.3  # pixels of the photo for one of the crop that bilinear sampling takes without aliasing
Detector = Callable[[Image.Image], np.ndarray | None]
"""From a photo to the five points of its face, (5, 2) in pixels, or None where it finds none."""


def five_of(points: np.ndarray) -> np.ndarray:
    """Centers of the eyes, tip of the nose and corners of the mouth (5, 2), image left first, from 68 landmarks."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


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


def placement(points: np.ndarray, target: np.ndarray, size: tuple[int, int]) -> tuple[complex, complex]:
    """The similarity (a, b) that takes pixels (x, y) of a photo to a (x - iy) + b in the suite's normalized framing.

    Args:
        points: (N, 2) in pixels.
        target: (N, 2) in normalized coordinates.
        size: Width and height of the photo in pixels.

    Raises:
        SkippedError: The face is outside of the photo, or too small.
    """
    if not (np.isfinite(points).all() and np.ptp(points, axis=0).max() >= SMALLEST_SIDE):
        raise SkippedError(f"a face of less than {SMALLEST_SIDE} pixels")
    a, b = map(complex, framing_of(points, target))
    middle = -b / a if a else complex("nan")
    if not (0 <= middle.real <= size[0] and 0 <= -middle.imag <= size[1]):
        raise SkippedError("the face lies outside of the photo")
    return a, b


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


def framed(photo: Image.Image, a: complex, b: complex, size: int) -> Image.Image:
    """Sample the crop of size S to whose normalized coordinates (a, b) of `placement` leads.

    Where the photo is finer than the crop, its part is first reduced by a filter as wide as the reduction, so that
    nothing aliases. `recface.data.framing.crop_photo` gets there by averaging 16 samples a pixel, in ten times as long.
    """
    step, origin = 2 / (size * a), (-1 + 1j - b) / a
    left, top, wide, high = 0, 0, 1.0, 1.0
    if abs(step) > COARSEST:
        corners = (np.array([-1 - 1j, -1 + 1j, 1 - 1j, 1 + 1j]) - b) / a
        left, top = max(0, math.floor(corners.real.min())), max(0, math.floor(-corners.imag.max()))
        right = min(photo.width, math.ceil(corners.real.max()))
        bottom = min(photo.height, math.ceil(-corners.imag.min()))
        small = math.ceil((right - left) / abs(step)), math.ceil((bottom - top) / abs(step))
        wide, high = (right - left) / small[0], (bottom - top) / small[1]
        photo = photo.resize(small, Image.Resampling.BILINEAR, (left, top, right, bottom), reducing_gap=2.0)
    across = (step.real / wide, step.imag / wide, (origin.real - left) / wide)
    down = (-step.imag / high, step.real / high, (-origin.imag - top) / high)
    return photo.transform((size, size), Image.Transform.AFFINE, (*across, *down), Image.Resampling.BILINEAR)


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
