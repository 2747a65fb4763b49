"""The suite's framing: every face is cropped so that its 68 landmarks lie on those of the mean face."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from recface.errors import SkippedError
from recface.face_model import FaceModel

HALF_WIDTH_MM = 90.0
"""Half of the crop's width, at the mean face's size."""
SMALLEST_SIDE = 16  # of a face in the photo, in pixels: less is not worth a crop
COARSEST = 1.3  # pixels of the photo for one of the crop that bilinear sampling takes without aliasing


def canonical_landmarks(model: FaceModel) -> np.ndarray:
    """Landmarks of the mean shape seen from the front, (68, 2) normalized (x right, y up): the target of framing."""
    return model.landmark_mean[:, :2].double().numpy() / HALF_WIDTH_MM


def similarity_2d(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares similarity z -> a z + b of the plane, in complex numbers.

    Args:
        source: (..., N, 2) points.
        target: (N, 2) or (..., N, 2) points.

    Returns:
        a (...): complex, |a| is the scale and its angle the rotation (no reflection); b (...): the translation.
    """
    z, w = source[..., 0] + 1j * source[..., 1], target[..., 0] + 1j * target[..., 1]
    z0, w0 = z.mean(-1, keepdims=True), w.mean(-1, keepdims=True)
    a = (np.conj(z - z0) * (w - w0)).sum(-1) / (np.abs(z - z0) ** 2).sum(-1)
    return a, w0[..., 0] - a * z0[..., 0]


def framing_of(landmarks: np.ndarray, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The map (a, b) from a photo to its crop: a pixel (x, y) comes to a (x - iy) + b in normalized coordinates.

    Landmarks (..., 68, 2) are in pixels (origin top left, y down); `canonical` comes from `canonical_landmarks`.
    """
    return similarity_2d(landmarks * [1.0, -1.0], canonical)


def crop_photo(
    photo: Image.Image, landmarks: np.ndarray, canonical: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut an aligned face out of a photo.

    Args:
        photo: RGB image of any size.
        landmarks: (68, 2) landmarks in its pixels (origin top left, y down).
        canonical: (68, 2) target positions from `canonical_landmarks`.
        size: Width and height S of the crop in pixels.

    Returns:
        (3, S, S) uint8 crop, and the landmarks in it, (68, 2) normalized.
    """
    flipped = landmarks * [1.0, -1.0]  # y up, as the canonical landmarks
    a, b = framing_of(landmarks, canonical)
    # Sampled at four points a pixel and averaged, so that a large photo does not alias.
    fine = size * 4
    column = (np.array([[0, 0], [fine, 0], [0, fine]]) * [2 / fine, -2 / fine]) + [-1, 1]
    origin = (column[:, 0] + 1j * column[:, 1] - b) / a
    x, y = origin.real, -origin.imag
    affine = ((x[1] - x[0]) / fine, (x[2] - x[0]) / fine, x[0], (y[1] - y[0]) / fine, (y[2] - y[0]) / fine, y[0])
    warped = photo.convert("RGB").transform((fine, fine), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    crop = np.asarray(warped.resize((size, size), Image.Resampling.BOX))
    moved = a * (flipped[:, 0] + 1j * flipped[:, 1]) + b
    return np.ascontiguousarray(crop.transpose(2, 0, 1)), np.stack([moved.real, moved.imag], -1)


def five_of(points: np.ndarray) -> np.ndarray:
    """Centers of the eyes, tip of the nose and corners of the mouth (5, 2), image left first, from 68 landmarks."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


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


def framed(photo: Image.Image, a: complex, b: complex, size: int) -> Image.Image:
    """Sample the crop of size S to whose normalized coordinates (a, b) of `placement` leads.

    Where the photo is finer than the crop, its part is first reduced by a filter as wide as the reduction, so that
    nothing aliases. `crop_photo` gets there by averaging 16 samples a pixel, in ten times as long.
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
