import io

import matplotlib
import numpy as np
import torch
from PIL import Image

from recface.figures.error_map import OUTSIDE, SIZE, _three_views, draw_error_map


def test_colors_follow_the_errors_on_one_scale(face_model):
    shapes = face_model.shape(torch.zeros(2, face_model.num_identity))
    errors = torch.zeros(2, face_model.num_vertices)
    errors[1] = 4.0
    png = draw_error_map(face_model, shapes, errors, ["none", "large"])["png"]
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    upper, lower = (half[:, : picture.shape[1] * 3 // 4] for half in np.array_split(picture, 2))

    def share_of(half, color):
        return (np.abs(half - 255 * np.array(color[:3])).sum(-1) < 90).mean()

    low, high = matplotlib.colormaps["viridis"]([0.0, 1.0])
    assert share_of(upper, low) > 0.1 > 0.01 > share_of(upper, high)
    assert share_of(lower, high) > 0.1 > 0.01 > share_of(lower, low)


def test_three_views_show_the_head_from_both_sides(face_model):
    shape = face_model.shape(torch.zeros(1, face_model.num_identity))
    colors = torch.where(shape[..., :1] > 0, torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
    strip = _three_views(face_model, shape, colors)[0].numpy().astype(int)
    assert strip.shape == (SIZE, 3 * SIZE, 3) and 0 < OUTSIDE < 1
    # +x is the subject's left: red at image right, and most of it where that side is turned to the camera.
    red, blue = ((strip[..., c] - strip[..., 2 - c] > 60) for c in (0, 2))
    reds, blues = ([part.sum() for part in np.split(each, 3, axis=1)] for each in (red, blue))
    assert red[:, SIZE : 2 * SIZE].nonzero()[1].mean() > blue[:, SIZE : 2 * SIZE].nonzero()[1].mean()
    assert (reds[0] > 2 * blues[0] and blues[2] > 2 * reds[2]) or (blues[0] > 2 * reds[0] and reds[2] > 2 * blues[2])
