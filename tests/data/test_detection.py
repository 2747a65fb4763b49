"""Detected points lie where people marked them; without the packages one line says what to install."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recface.data import detection
from recface.data.detection import NoDetectorError, detect_faces, detect_turned, face_points, landmarks68
from recface.data.framing import five_of
from recface.data.photos import LANDMARK_COLUMNS


@pytest.fixture(scope="module")
def london(shared_data):
    """A photo of the folder and its 68 landmarks by hand, in pixels."""
    if not (shared_data / "london").is_dir():
        pytest.skip("the photographs are absent")
    table = pd.read_csv(shared_data / "london" / "faces.csv").head(1)
    photo = Image.open(shared_data / "london" / "images" / table["file"][0]).convert("RGB")
    return photo, table[LANDMARK_COLUMNS].to_numpy(float).reshape(68, 2)


@pytest.mark.data
@pytest.mark.skipif(importlib.util.find_spec("facenet_pytorch") is None, reason="facenet-pytorch is not installed")
def test_five_points_are_those_of_people_at_any_size(london):
    photo, marks = london
    for factor in (1, 3):
        large = photo.resize((factor * photo.width, factor * photo.height))
        face, *_ = detect_faces(large)
        apart = np.linalg.norm(face.five / factor - five_of(marks), axis=1)
        assert apart.max() < 0.06 * np.ptp(marks[:, 0])
        assert (face.box[:2] / factor < marks[17:].min(0)).all() and (face.box[2:] / factor > marks[17:].max(0)).all()
        assert face.confidence > 0.9
    assert face_points(Image.new("RGB", (80, 60))) is None


@pytest.mark.data
@pytest.mark.skipif(importlib.util.find_spec("facenet_pytorch") is None, reason="facenet-pytorch is not installed")
def test_faces_on_their_side_are_found_where_they_lie(london):
    photo, marks = london
    photo = photo.crop((0, 0, photo.width, photo.height - 20))
    side, (face, *_) = (
        photo.height,
        detect_turned(photo.rotate(-90, expand=True)),
    )  # clockwise: (x, y) to (height - y, x)
    turned = np.stack([side - five_of(marks)[:, 1], five_of(marks)[:, 0]], axis=1)
    assert np.linalg.norm(face.five - turned, axis=1).max() < 0.06 * np.ptp(marks[:, 0])
    assert (face.box[:2] < face.five.min(0)).all() and (face.box[2:] > face.five.max(0)).all()
    assert detect_turned(Image.new("RGB", (9, 9))) == []


@pytest.mark.data
@pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None or importlib.util.find_spec("face_recognition_models") is None,
    reason="dlib or its model is not installed",
)
def test_68_landmarks_are_those_of_people(london):
    photo, marks = london
    box = np.concatenate([marks.min(0), marks.max(0)])
    apart = np.linalg.norm(landmarks68(photo, box) - marks, axis=1)
    assert np.median(apart) < 0.04 * np.ptp(marks[:, 0])


def test_without_the_packages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    monkeypatch.setattr(detection, "find_spec", lambda _: None)
    detection._mtcnn.cache_clear()
    detection._dlib.cache_clear()
    with pytest.raises(NoDetectorError, match=r"pip install 'recface\[prepare\]'"):
        detect_faces(Image.new("RGB", (80, 60)))
    with pytest.raises(NoDetectorError, match=r"pip install 'recface\[prepare\]'"):
        landmarks68(Image.new("RGB", (80, 60)), np.array([10, 10, 50, 50]))
