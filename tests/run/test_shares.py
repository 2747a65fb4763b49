import pytest
import torch

from recface.data.augment import Augmentation
from recface.run.shares import Parts, SharedAugmentation


@pytest.mark.parametrize(("processes", "parts"), [(2, 1), (1, 3), (2, 2)])
def test_shares_are_augmented_as_in_the_whole_batch(processes, parts) -> None:
    torch.manual_seed(0)
    image, landmarks, augmentation = torch.rand(12, 3, 16, 16), torch.rand(12, 68, 2), Augmentation(1.0)
    landmarks[3] = torch.nan
    for seed in range(5):
        expected = augmentation(image, landmarks, seed)
        assert not expected[0].equal(image)
        for rank in range(processes):
            own = {"image": image[rank::processes], "landmarks": landmarks[rank::processes]}
            shared = SharedAugmentation(augmentation, rank, processes, parts)
            loader = torch.utils.data.DataLoader([own], batch_size=None)
            for number, part in enumerate(Parts(loader, parts)):
                found = shared(part["image"], part["landmarks"], seed)
                rows = slice(rank + processes * number, None, processes * parts)
                torch.testing.assert_close(found[0], expected[0][rows])
                torch.testing.assert_close(found[1], expected[1][rows], equal_nan=True)


def test_without_strength_a_share_stays_as_it_is() -> None:
    image, landmarks = torch.rand(2, 3, 8, 8), torch.rand(2, 68, 2)
    found = SharedAugmentation(Augmentation(0), 0, 2, 1)(image, landmarks, seed=0)
    assert found[0] is image and found[1] is landmarks
