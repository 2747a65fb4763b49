"""Photos with landmarks to train and measure on: 300W-LP and AFLW2000-3D, both with MATLAB files beside the photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from recface.errors import SkippedError
from recface.face_model.model import FLIP68
from recface.files.guard import guarded, is_file
from recface.files.images import FORMATS
from recface.files.matlab import read_matlab
from recface.prepare.dataset import Dataset, Row, photos_below

MATLAB_PIXEL = 0.5  # MATLAB gives the center of the first pixel as 1, the suite as 0.5
INNER, FAR = 17, 0.1  # landmarks from the brows on; a tenth of the face
PARTS = ("AFW", "HELEN", "IBUG", "LFPW")


def w300lp(raw: Path) -> Iterator[Row]:
    """All photos, those of each original and its flipped twins; nobody is named."""
    for part in (f"{name}{ending}" for name in PARTS for ending in ("", "_Flip")):
        if (raw / part).is_dir():
            for path in photos_below(raw / part):
                yield Row(path.relative_to(raw).as_posix(), path, extra={"part": part})


def with_w300lp_labels(row: Row) -> Row:
    """Landmarks of the fitted 3D face (pts_3d), of the twin where it is flipped, else pt2d; else the box; the pose.

    Outlines of pts_3d stay on the same points of the head as it turns, as those of a face model do; pt2d's follow what
    is seen of the cheek.
    """
    assert isinstance(row.photo, Path)
    beside, part = _beside(row.photo), row.extra["part"]
    plain = beside.get("pt2d", np.empty(0)).T
    deep = row.photo.parents[1] / "landmarks" / part.removesuffix("_Flip") / f"{row.photo.stem}_pts.mat"
    if not is_file(deep):
        return _labeled(row, plain, beside, "pt2d")
    points = np.asarray(read_matlab(deep, "pts_3d").get("pts_3d", np.empty(0)), np.float64)
    if part.endswith("_Flip") and points.shape == (68, 2):
        with guarded(row.photo, "image"), Image.open(row.photo, formats=FORMATS) as photo:
            points = (points * [-1, 1] + [photo.width + 1, 0])[FLIP68]
    if points.shape == plain.shape == (68, 2):
        apart = np.abs(points - plain)[INNER:].mean() / max(np.ptp(points), 1)
        if apart > FAR:
            raise SkippedError("pts_3d and pt2d are not of one face")
    return _labeled(row, points, beside, "pts_3d")


def aflw2000(raw: Path) -> Iterator[Row]:
    """All photos; nobody is named."""
    for path in photos_below(raw):
        if path.parent == raw:
            yield Row(path.name, path, split="test")


def with_aflw2000_labels(row: Row) -> Row:
    """The 68 landmarks of the fitted 3D face (pt3d_68), else the box roi, and the pose."""
    assert isinstance(row.photo, Path)
    beside = _beside(row.photo)
    return _labeled(row, beside.get("pt3d_68", np.empty((0, 0)))[:2].T, beside, "pt3d_68")


def _beside(photo: Path) -> dict[str, np.ndarray]:
    """Labels of the file of a photo's name that ends in .mat."""
    if not is_file(photo.with_suffix(".mat")):
        raise SkippedError("no .mat beside the photo")
    return read_matlab(photo.with_suffix(".mat"), "pt2d", "pt3d_68", "roi", "Pose_Para")


def _labeled(row: Row, points: np.ndarray, beside: dict[str, np.ndarray], name: str) -> Row:
    """A row with its landmarks, or its box, and the angles pitch, yaw, roll in degrees as the dataset signs them."""
    pose, roi = np.ravel(beside.get("Pose_Para", ())), np.ravel(beside.get("roi", ())).astype(np.float64)
    extra = dict(row.extra)
    if len(pose) >= 3:
        extra |= {key: f"{np.degrees(pose[index]):.3f}" for index, key in enumerate(("pitch", "yaw", "roll"))}
    if points.shape == (68, 2) and np.isfinite(points).all():
        return replace(row, landmarks=points.astype(np.float64) - MATLAB_PIXEL, extra=extra | {"landmarks": name})
    if len(roi) != 4:
        raise SkippedError("neither 68 landmarks nor a box in its .mat")
    left, top, right, bottom = (roi - MATLAB_PIXEL).tolist()
    return replace(row, box=(left, top, right, bottom), extra=extra)


DATASETS = (
    Dataset(
        "300w_lp",
        "300W-LP",
        (" | ".join(f"{part}/*.jpg" for part in PARTS), " | ".join(f"{part}/*.mat" for part in PARTS)),
        "www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
        "research, non-commercial (300-W's)",
        "68 landmarks: landmarks/*_pts.mat, else pt2d; else the box roi",
        w300lp,
        with_w300lp_labels,
    ),
    Dataset(
        "aflw2000",
        "AFLW2000-3D",
        ("*.jpg", "*.mat"),
        "www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
        "research, non-commercial (AFLW's)",
        "68 landmarks pt3d_68; else the box roi",
        aflw2000,
        with_aflw2000_labels,
    ),
)
