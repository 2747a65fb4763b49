"""A process's share of every batch, in the parts that gradients are accumulated over, with the whole batch's draws.

Share `number` of `count` has the samples number, number + count, number + 2 count, ... of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from recface.data import Batch
from recface.data.augment import PIXEL_CENTER, Augmentation
from recface.data.datamodule import MixedDataModule
from recface.render import from_pixels, to_pixels


def take_share(data: MixedDataModule, rank: int, world_size: int, parts: int) -> None:
    """Let training data come in `parts` of a process's batch, augmented as they would be in the whole batch."""
    if world_size * parts > 1:
        shared: Any = SharedAugmentation(data.augmentation, rank, world_size, parts)
        data.augmentation = shared
    if parts > 1:
        whole = data.train_dataloader
        data.train_dataloader = lambda: Parts(whole(), parts)  # type: ignore[method-assign,assignment,return-value]


class Parts:
    """A loader whose batches come in parts, which need less memory on the device."""

    def __init__(self, loader: Any, parts: int) -> None:
        self.loader, self.parts = loader, parts
        self.sampler = loader.sampler  # Lightning tells it the epoch

    def __len__(self) -> int:
        return len(self.loader) * self.parts

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            for part in range(self.parts):
                yield {key: value[part :: self.parts] for key, value in batch.items()}


class SharedAugmentation(nn.Module):
    """An augmentation of shares of a batch that equals that of the whole batch, whose draws are made by everybody.

    It is called once for each part, in order.
    """

    def __init__(self, augmentation: Augmentation, rank: int, world_size: int, parts: int) -> None:
        super().__init__()
        self.augmentation, self.rank, self.world_size, self.parts = augmentation, rank, world_size, parts
        self.calls = 0

    def forward(self, image: Tensor, landmarks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Augment a share as `Augmentation` does the whole batch."""
        number = self.rank + self.world_size * (self.calls % self.parts)
        self.calls += 1
        return augmented_share(self.augmentation, image, landmarks, seed, number, self.world_size * self.parts)


def augmented_share(
    augmentation: Augmentation, image: Tensor, landmarks: Tensor, seed: int, number: int, count: int
) -> tuple[Tensor, Tensor]:
    """The rows of a share of what `augmentation` makes of a whole batch with this seed, from these rows alone."""
    if augmentation.strength == 0:
        return image, landmarks
    size, whole = image.shape[-1], torch.Size((len(image) * count, *image.shape[1:]))
    with torch.random.fork_rng(devices=[image.device] if image.is_cuda else []), torch.no_grad():
        torch.manual_seed(seed)
        looks: Any = augmentation.look  # a network's parts have no types
        moves: Any = augmentation.move.forward_parameters(whole)
        for item in moves:
            item.data.update(_rows(item.data, number, count))
        image, points = augmentation.move(image, to_pixels(landmarks, size) - PIXEL_CENTER, params=moves)
        for look in looks:
            image = look(image, params=_rows(look.forward_parameters(whole), number, count))
        return image.clamp(0, 1), from_pixels(points + PIXEL_CENTER, size)


def _rows(drawn: dict[str, Tensor], number: int, count: int) -> dict[str, Tensor]:
    """A share's rows of what kornia drew for a batch; all but the shape is drawn row by row."""
    rows = {key: value[number::count] for key, value in drawn.items() if key != "forward_input_shape"}
    shape = drawn["forward_input_shape"].clone()
    shape[0] //= count
    return rows | {"forward_input_shape": shape}
