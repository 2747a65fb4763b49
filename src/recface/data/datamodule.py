"""Batches mixed from several sources, each with its quota."""

from __future__ import annotations

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from recface.data.augment import Augmentation
from recface.data.sampler import QuotaSampler
from recface.data.sources import Batch, Source


class MixedDataset(Dataset):
    """Several sources behind one index, asked for a whole batch at a time."""

    def __init__(self, sources: list[Source], num_parameters: int) -> None:
        self.sources, self.num_parameters = sources, num_parameters
        self.ends = np.cumsum([len(source) for source in sources])
        self.first_identity = np.concatenate([[0], np.cumsum([source.num_identities for source in sources])])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, indices: list[int]) -> Batch:
        """Assemble a batch; samples of one source lie side by side, in the order of the sources."""
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
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


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
        workers: Loader processes; 0 is best for memory-mapped photos.
        start: Step to begin with, where a killed run stopped.
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
    ) -> None:
        super().__init__()
        self.dataset = MixedDataset(sources, num_parameters)
        self.shares, self.batch_size, self.steps, self.seed, self.workers = shares, batch_size, steps, seed, workers
        self.start = start
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
        )
        return DataLoader(
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
        image = batch["image"].float() / 255
        image, landmarks = self.augmentation(image, batch["landmarks"], seed=hash((self.seed, step)) % 2**31)
        return batch | {"image": image, "landmarks": landmarks}
