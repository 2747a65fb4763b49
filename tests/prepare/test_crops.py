"""Crops show what the suite's own framing shows, wherever the face comes from."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.official.datasets import draw_face, face_marks

from recface.data.framing import canonical_landmarks, crop_photo, five_of, placement
from recface.errors import SkippedError
from recface.prepare.crops import crop
from recface.prepare.dataset import Row
from recface.prepare.preparation import canonical_points


def jpeg(photo: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)), float).transpose(2, 0, 1)


def shift_of(image: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Least-squares translation in pixels (x, y) between two images (3, S, S) that are nearly the same."""
    gradients = np.stack([np.gradient(expected, axis=axis).ravel() for axis in (2, 1)], axis=1)
    return np.linalg.lstsq(gradients, (image - expected).ravel(), rcond=None)[0]


def never(_: Image.Image) -> None:
    raise AssertionError("the detector was asked")


def test_stores_have_the_framing_of_the_embedded_face_model(face_model):
    np.testing.assert_allclose(canonical_points(), canonical_landmarks(face_model), atol=1e-4)


@pytest.mark.parametrize("side", [150, 250, 700, 1500])
def test_a_crop_is_that_of_the_suite(side):
    marks = face_marks(side, 3)
    photo = Image.open(io.BytesIO(jpeg(draw_face(marks, (side, side), 3))))
    image, landmarks, (a, b) = crop(jpeg(photo), Row("a", Path(), landmarks=marks), canonical_points(), 112, never)
    place = a * (marks[:, 0] - 1j * marks[:, 1]) + b
    np.testing.assert_allclose(landmarks, np.stack([place.real, place.imag], -1), atol=1e-6)
    expected, expected_landmarks = crop_photo(photo, marks, canonical_points(), 112)
    np.testing.assert_allclose(landmarks, expected_landmarks, atol=1e-5)
    assert np.abs(pixels(image) - expected).mean() < 4  # of 255: two resampling filters and a second encoding
    assert np.abs(shift_of(pixels(image), expected.astype(float))).max() < 0.1  # of a pixel


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 10), st.floats(-np.pi, np.pi), st.floats(-50, 50), st.floats(-50, 50))
def test_a_placement_takes_moved_points_back(scale, angle, x, y):
    target = five_of(canonical_points())
    moved = 60 * scale * np.exp(1j * angle) * (target[:, 0] - 1j * target[:, 1]) + complex(500 + x, 500 + y)
    points = np.stack([moved.real, moved.imag], axis=1)
    a, b = placement(points, target, (10_000, 10_000))
    back = a * (points[:, 0] - 1j * points[:, 1]) + b
    # A photo has its y down, so that the turn above is none of the mirror image: a similarity takes it back exactly.
    np.testing.assert_allclose(back, target[:, 0] + 1j * target[:, 1], atol=1e-9)


def test_five_points_a_box_and_the_detector_place_the_face_where_landmarks_do():
    marks = face_marks(400, 5)
    photo = jpeg(draw_face(marks, (400, 400), 5))
    canonical, row = canonical_points(), Row("a", Path())
    whole, *_ = crop(photo, replace(row, landmarks=marks), canonical, 112, never)
    box = (*marks.min(0), *marks.max(0))
    ways = {
        "five": crop(photo, replace(row, five=five_of(marks)), canonical, 112, never),
        "detector": crop(photo, row, canonical, 112, lambda _: five_of(marks)),
        "box": crop(photo, replace(row, box=box), canonical, 112, never),
    }
    assert np.abs(pixels(ways["five"][0]) - pixels(ways["detector"][0])).mean() < 3  # one is decoded at half the size
    for name, (image, landmarks, _) in ways.items():
        assert landmarks is None
        assert np.abs(pixels(image) - pixels(whole)).mean() < (25 if name == "box" else 12), name


def test_a_photo_on_its_side_is_turned_upright():
    marks = face_marks(300, 7)
    photo = draw_face(marks, (300, 300), 7)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    row = Row("a", Path(), landmarks=marks)
    turned, *_ = crop(jpeg(photo.transpose(Image.Transpose.ROTATE_90), exif=exif), row, canonical_points(), 64, never)
    plain, *_ = crop(jpeg(photo), row, canonical_points(), 64, never)
    assert np.abs(pixels(turned) - pixels(plain)).mean() < 3


def test_a_framed_photo_is_resized_alone():
    photo = draw_face(face_marks(200, 1, 1.0), (200, 200), 1)
    image, *_ = crop(jpeg(photo), Row("a", Path(), framed=True), canonical_points(), 64, never)
    resized = np.asarray(photo.resize((64, 64), Image.Resampling.BOX), float).transpose(2, 0, 1)
    assert np.abs(pixels(image) - resized).mean() < 8


FACE = face_marks(200, 2)


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        (b"not an image", {"landmarks": FACE}, "not a readable image"),
        (jpeg(draw_face(FACE, (200, 200), 2))[:2000], {"landmarks": FACE}, "not a readable image"),
        (jpeg(draw_face(FACE, (200, 200), 2)), {"landmarks": FACE + 500}, "the face lies outside of the photo"),
        (jpeg(draw_face(FACE, (200, 200), 2)), {"landmarks": FACE * 0.05}, "a face of less than 16 pixels"),
        (jpeg(draw_face(FACE, (200, 200), 2)), {"landmarks": FACE * np.nan}, "a face of less than 16 pixels"),
        (jpeg(draw_face(FACE, (200, 200), 2)), {}, "no face found"),
        (jpeg(draw_face(FACE, (200, 220), 2)), {"framed": True}, "framed, but not square"),
    ],
)
def test_what_is_left_out_says_why(data, row, said):
    with pytest.raises(SkippedError, match=said):
        crop(data, Row("a", Path(), **row), canonical_points(), 64, lambda _: None)


def test_a_photo_that_would_fill_the_memory_is_not_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(SkippedError, match="more than 1,000 pixels"):
        crop(jpeg(Image.new("RGB", (40, 40))), Row("a", Path(), landmarks=FACE), canonical_points(), 64, never)
