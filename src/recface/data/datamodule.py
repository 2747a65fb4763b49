"""Batches mixed from several sources, each with its quota."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from recface.data.augment import Augmentation
from recface.data.sampler import QuotaSampler
from recface.data.sources import Batch, Source
from recface.errors import RecfaceError


class MixedDataset(Dataset):
    """Several sources behind one index, asked for a whole batch at a time."""

    def __init__(self, sources: list[Source], num_parameters: int) -> None:
        self.sources, self.num_parameters = sources, num_parameters
        self.ends = np.cumsum([len(source) for source in sources])
        self.first_identity = np.concatenate([[0], np.cumsum([source.num_identities for source in sources])])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, indices: list[int]) -> Batch | RecfaceError:
        """Assemble a batch; samples of one source lie side by side, in the order of the sources.

        A worker of a `Loader` returns a mistake, since one that it raises would arrive with its traceback.
        """
        try:
            return self.batch(indices)
        except RecfaceError as error:
            if get_worker_info() is None:
                raise
            return error

    def batch(self, indices: list[int]) -> Batch:
        """Assemble a batch, or raise."""
        index = np.asarray(indices)
        owner = np.searchsorted(self.ends, index, side="right")
        parts = [
            source.batch(
                index[owner == number] - (self.ends[number] - len(source)),
                self.num_parameters,
                number,
                int(self.first_identity[number]),
            )
            for number, source in enumerate(self.sources)
            if (owner == number).any()
        ]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]} if len(parts) > 1 else parts[0]


class Loader(DataLoader):
    """A loader that raises the mistakes that its workers return."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, RecfaceError):
                raise batch
            yield batch


class MixedDataModule(lightning.LightningDataModule):
    """Training batches with a fixed quota of each source, augmented on the device.

    Args:
        sources: Training sources.
        shares: Share of a batch of each.
        num_parameters: Number K of shape parameters of the face model.
        batch_size: Number of samples over all processes.
        steps: Batches of an epoch.
        seed: Seed of order and augmentation.
        augment: Strength of the augmentation.
        workers: Loader processes; 0 is best for memory-mapped arrays, several where photos are decoded.
        start: Step to begin with, where a killed run stopped.
        photos_of_person: Photos of each person in a batch, from sources of named people; None = photos at random.
    """

    def __init__(
        self,
        sources: list[Source],
        shares: list[float],
        num_parameters: int,
        batch_size: int,
        steps: int,
        seed: int,
        augment: float = 1.0,
        workers: int = 0,
        start: int = 0,
        photos_of_person: int | None = None,
    ) -> None:
        super().__init__()
        self.dataset = MixedDataset(sources, num_parameters)
        self.shares, self.batch_size, self.steps, self.seed, self.workers = shares, batch_size, steps, seed, workers
        self.start, self.photos_of_person = start, photos_of_person
        self.augmentation = Augmentation(augment)

    def train_dataloader(self) -> DataLoader:
        """Loader of mixed batches; needs `use_distributed_sampler=False` in the trainer, since the sampler shards."""
        trainer = self.trainer
        sampler = QuotaSampler(
            [len(source) for source in self.dataset.sources],
            self.shares,
            self.batch_size,
            self.steps,
            self.seed,
            self.start,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            identities=[source.identity for source in self.dataset.sources],
            photos_of_person=self.photos_of_person,
        )
        return Loader(
            self.dataset,
            sampler=sampler,  # as `sampler`, since Lightning tells no `batch_sampler` the epoch
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn uint8 photos into [0, 1] and augment them, by a seed of the step alone."""
        step = self.start + (self.trainer.global_step if self.trainer else 0)
        image = batch["image"].to(torch.float32, memory_format=torch.contiguous_format) / 255
        image, landmarks = self.augmentation(image, batch["landmarks"], seed=hash((self.seed, step)) % 2**31)
        return batch | {"image": image, "landmarks": landmarks}
