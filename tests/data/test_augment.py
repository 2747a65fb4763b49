import torch

from recface.data.augment import Augmentation


def blob(points, size=48):
    grid = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    near = [torch.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / 0.01) for p in points]
    return torch.stack(near)[:, None].expand(-1, 3, -1, -1)


def test_landmarks_move_with_the_photo():
    torch.manual_seed(0)
    points = torch.rand(16, 2) - 0.5
    augmentation = Augmentation(2.0)
    augmentation.look = torch.nn.Identity()
    image, marks = augmentation(blob(points), points[:, None].expand(-1, 68, -1), seed=5)
    weight = image[:, 0] / image[:, 0].sum((1, 2), keepdim=True)
    grid = (torch.arange(48) + 0.5) / 48 * 2 - 1
    found = torch.stack([(weight.sum(1) * grid).sum(1), (weight.sum(2) * -grid).sum(1)], 1)
    assert (marks[:, 0] - points).abs().max() > 0.05  # it did move
    torch.testing.assert_close(found, marks[:, 0], atol=0.02, rtol=0)


def test_unknown_landmarks_stay_unknown_and_strength_zero_changes_nothing():
    image, marks = torch.rand(4, 3, 16, 16), torch.full((4, 68, 2), torch.nan)
    assert Augmentation()(image, marks, seed=1)[1].isnan().all()
    still, same = Augmentation(0.0)(image, torch.zeros(4, 68, 2), seed=1)
    assert torch.equal(still, image) and not same.any()


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Augmentation()(torch.zeros(2, 3, 16, 16), torch.zeros(2, 68, 2), seed=9)
    assert torch.equal(torch.rand(3), expected)
