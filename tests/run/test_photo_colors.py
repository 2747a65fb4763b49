import numpy as np
import pytest
import torch
from PIL import Image

from recface.render import Renderer, euler_to_matrix, to_pixels
from recface.run.photo_colors import photo_colors, seen_share

SIZE, SCALE = 240, 1 / 120


def photographed(model, yaw, painted):
    """A photo of the mean head in given colors, and where its vertices are in it."""
    light = torch.zeros(1, 9, 3)
    light[:, 0] = 1.0  # ambient: a vertex has its own color
    rotation = euler_to_matrix(torch.tensor([[0.0, yaw, 0.0]]))
    drawn = Renderer(model.triangles, SIZE)(
        model.mean[None], rotation, torch.tensor([SCALE]), torch.zeros(1, 2), torch.from_numpy(painted)[None], light
    )
    image = Image.fromarray((255 * drawn.image[0].clamp(0, 1)).byte().permute(1, 2, 0).contiguous().numpy())
    return image, to_pixels(drawn.projected, SIZE)[0].numpy()[:, :2].astype(np.float64), drawn.projected[0]


@pytest.fixture(scope="module")
def painted(face_model):
    """Colors that vary over the head and are the same on both sides."""
    x, y, z = (face_model.mean.numpy() / 60).T
    return np.stack([0.5 + 0.3 * np.cos(x), 0.5 + 0.3 * np.sin(y), 0.5 + 0.2 * np.cos(z)], 1).astype(np.float32)


def test_a_frontal_photo_gives_the_face_its_colors_back(face_model, painted):
    photo, pixels, projected = photographed(face_model, 0.0, painted)
    seen = seen_share(projected, face_model)
    flat = np.full_like(painted, 0.3)
    colors = photo_colors(photo, pixels, seen, flat, face_model)
    clear = seen > 0.95
    assert clear.sum() > 0.3 * face_model.face_mask.sum()
    assert np.abs(colors[clear] - painted[clear]).mean() < 0.02
    behind = face_model.mean.numpy()[:, 2] < np.quantile(face_model.mean.numpy()[:, 2], 0.2)
    assert (seen[behind] == 0).all() and np.ptp(colors[behind], axis=0).max() < 1e-6  # one estimated color
    # It is brought to the photo's brightness: the median color of what is seen.
    assert np.abs(colors[behind][0] - np.median(painted[seen > 0.5], axis=0)).max() < 0.03


def test_the_hidden_half_has_the_colors_of_its_mirror_image(face_model, painted):
    photo, pixels, projected = photographed(face_model, 0.9, painted)
    seen = seen_share(projected, face_model)
    colors = photo_colors(photo, pixels, seen, np.full_like(painted, 0.3), face_model)
    hidden = (seen == 0) & (seen[face_model.mirror.numpy()] > 0.95)
    assert hidden.sum() > 50
    assert np.abs(colors[hidden] - painted[hidden]).mean() < 0.03


def test_what_lies_outside_of_the_photo_is_estimated(face_model, painted):
    photo, pixels, projected = photographed(face_model, 0.0, painted)
    seen = seen_share(projected, face_model)
    colors = photo_colors(photo, pixels + 10 * SIZE, seen, painted, face_model)
    np.testing.assert_allclose(colors, painted, atol=1e-6)


def test_a_photo_beside_the_face_changes_nothing(face_model, painted):
    photo, pixels, projected = photographed(face_model, 0.3, painted)
    seen, flat = seen_share(projected, face_model), np.full_like(painted, 0.3)
    wide = Image.new("RGB", (5 * SIZE, 4 * SIZE), (200, 10, 10))
    wide.paste(photo, (3 * SIZE, 2 * SIZE))
    moved = photo_colors(wide, pixels + [3 * SIZE, 2 * SIZE], seen, flat, face_model)
    face = seen > 0
    np.testing.assert_allclose(moved[face], photo_colors(photo, pixels, seen, flat, face_model)[face], atol=1e-5)
