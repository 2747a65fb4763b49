import numpy as np
import pytest
import torch

from recface.data.sources import embedded_source
from recface.figures.reconstruction_picture import ROWS, reconstruction_picture
from recface.variants import variant_class


@pytest.mark.parametrize("confidence", [True, False])
def test_a_column_a_photo_and_nothing_is_changed(confidence, face_model, benchmark, smoke_config):
    config = smoke_config | {"model": smoke_config["model"] | {"confidence": confidence}}
    torch.manual_seed(0)
    variant = variant_class("sir")(config, face_model, benchmark.albedo_model, 12, stage=2).train()
    if confidence:  # untrained, it says nearly the same of every pixel
        torch.nn.init.normal_(variant.confidence.pixel_head.weight, std=0.3)
    size, count = config["scale"]["image_size"], 3
    photos = torch.from_numpy(np.array(embedded_source(benchmark, "validation").images[:count])).float() / 255
    before = {key: value.clone() for key, value in variant.state_dict().items()}
    stream = torch.get_rng_state()
    picture = reconstruction_picture(variant, photos)
    rows = len(ROWS) - (not confidence)
    assert picture.dtype == np.uint8 and picture.shape == (rows * (size + 1) + 1, count * (size + 1) + 1, 3)
    first = picture[1 : size + 1, 1 : size + 1]
    assert np.array_equal(first, (255 * photos[0]).round().byte().permute(1, 2, 0).numpy())
    for row in range(1, rows):  # every other row shows something of its own
        tile = picture[row * (size + 1) + 1 :][:size, 1 : size + 1]
        assert not np.array_equal(tile, first) and tile.std() > 0
    assert variant.training and torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[key]) for key, value in variant.state_dict().items())
