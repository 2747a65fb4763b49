import pytest
import torch

from recface.errors import RecfaceError
from recface.networks import MIRRORED, NORMAL, ConfidenceMaps, ConfidenceNet


@pytest.mark.parametrize("size", [32, 64, 112])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_maps_are_positive_at_both_sizes_and_start_near_one(size, bfloat16):
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        maps = ConfidenceNet()(torch.rand(2, 3, size, size))
    assert maps.pixel.shape == (2, 2, size, size)
    assert maps.feature.shape == (2, 2, size // 4, size // 4)
    for values in maps:
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, torch.ones_like(values), atol=0.1, rtol=0)


def test_maps_stay_positive_after_wild_weights():
    torch.manual_seed(0)
    net = ConfidenceNet()
    for head in (net.pixel_head, net.feature_head):
        torch.nn.init.normal_(head.weight, std=100.0)
    maps = net(torch.rand(2, 3, 32, 32))
    assert maps.pixel.min() > 0
    assert maps.feature.min() > 0
    assert maps.pixel.max() > 10


def test_all_parameters_are_trained():
    torch.manual_seed(0)
    net = ConfidenceNet()
    maps = net(torch.rand(2, 3, 32, 32))
    sum((values * torch.randn_like(values)).sum() for values in maps).backward()
    assert all(p.grad.count_nonzero() > 0 for p in net.parameters())


def test_photos_do_not_mix():
    torch.manual_seed(0)
    net = ConfidenceNet()
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(net(image).pixel[:1], net(image[:1]).pixel)


def test_select_takes_the_map_of_each_photos_albedo():
    torch.manual_seed(0)
    maps = ConfidenceMaps(torch.rand(3, 2, 8, 8), torch.rand(3, 2, 2, 2))
    chosen = maps.select(torch.tensor([True, False, True]))
    for values, result in zip(maps, chosen, strict=True):
        for i, channel in enumerate([MIRRORED, NORMAL, MIRRORED]):
            assert torch.equal(result[i, 0], values[i, channel])
        assert result.shape[1] == 1


def test_other_sizes_are_refused():
    with pytest.raises(RecfaceError, match="multiples of 16, not 40 x 64"):
        ConfidenceNet()(torch.rand(1, 3, 40, 64))
