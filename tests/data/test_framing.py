import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.optimize import minimize

from recface.data.framing import canonical_landmarks, crop_photo, similarity_2d

points = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed).normal(size=(68, 2)))


@settings(deadline=None, max_examples=25)
@given(points, st.floats(0.2, 5), st.floats(-3, 3), st.floats(-4, 4), st.floats(-4, 4))
def test_similarity_recovers_a_known_one(source, scale, angle, dx, dy):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    a, b = similarity_2d(source, source @ turn.T + [dx, dy])
    assert a == pytest.approx(scale * np.exp(1j * angle), abs=1e-8)
    assert b == pytest.approx(dx + 1j * dy, abs=1e-8)


def test_similarity_is_least_squares():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 20, 2))

    def cost(p):
        moved = (p[0] + 1j * p[1]) * (source @ [1, 1j]) + p[2] + 1j * p[3]
        return np.sum(np.abs(moved - target @ [1, 1j]) ** 2)

    best = minimize(cost, [1, 0, 0, 0], tol=1e-12).x
    a, b = similarity_2d(source, target)
    np.testing.assert_allclose([a.real, a.imag, b.real, b.imag], best, atol=1e-5)


def test_crop_puts_the_marked_spot_where_its_landmark_says(face_model):
    canonical = canonical_landmarks(face_model)
    # A turned, shifted, scaled face in a large photo; a red disc on the nose tip (landmark 30).
    turn = 1.3 * np.exp(0.4j)
    z = turn * (canonical[:, 0] + 1j * canonical[:, 1]) * 150 + 260 - 240j
    pixels = np.stack([z.real, -z.imag], 1)
    photo = Image.new("RGB", (520, 500), "black")
    x, y = pixels[30]
    ImageDraw.Draw(photo).ellipse([x - 14, y - 14, x + 14, y + 14], fill="red")
    crop, moved = crop_photo(photo, pixels, canonical, 64)
    np.testing.assert_allclose(moved, canonical, atol=1e-9)
    red = crop[0].astype(float)
    rows, columns = np.mgrid[:64, :64] + 0.5
    center = np.array([(columns * red).sum(), (rows * red).sum()]) / red.sum()
    expected = (canonical[30] * [1, -1] + 1) * 32
    np.testing.assert_allclose(center, expected, atol=0.3)
    assert crop[1:].max() < 10
