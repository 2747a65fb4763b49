"""Sizes of the embedded benchmark, and its form on disk. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recface.face_model.albedo import AlbedoModel

PHOTO_SPLITS = ("identity", "landmark", "validation", "test", "control_shape", "control_albedo")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Settings that, with the face model, determine the benchmark.

    Attributes:
        seed: Seed of everything that is drawn.
        image_size: Width and height of the photos in pixels.
        identity_people: People with identity labels, each with `identity_photos` photos without landmarks.
        identity_photos: Photos of each of them.
        landmark_photos: Photos with 68 landmarks, each of another unnamed person.
        validation_people: People for choosing settings.
        test_people: People for the tables. Nobody is in two splits.
        photos_each: Photos of a validation or test person.
        control_people: People in each of the two control sets.
        control_photos: Photos of each of them.
        scan_people: People with registered scans.
        scans_each: Scans of each of them.
        albedo_modes: Modes of the linear albedo model.
    """

    seed: int
    image_size: int
    identity_people: int
    identity_photos: int
    landmark_photos: int
    validation_people: int
    test_people: int
    photos_each: int
    control_people: int
    control_photos: int
    scan_people: int
    scans_each: int
    albedo_modes: int

    def people_and_photos(self, split: str) -> tuple[int, int]:
        """Number of people in a photo split, and of photos of each."""
        return {
            "identity": (self.identity_people, self.identity_photos),
            "landmark": (self.landmark_photos, 1),
            "validation": (self.validation_people, self.photos_each),
            "test": (self.test_people, self.photos_each),
            "control_shape": (self.control_people, self.control_photos),
            "control_albedo": (self.control_people, self.control_photos),
        }[split]


@dataclass(frozen=True)
class Benchmark:
    """A generated benchmark on disk.

    Attributes:
        path: Its folder.
        manifest_hash: Hash over all photos and labels: two machines with the same hash have the same data.
        albedo_model: Linear model of the procedural albedos, for the networks to regress.
    """

    path: Path
    manifest_hash: str
    albedo_model: AlbedoModel

    def images(self, split: str) -> np.ndarray:
        """Photos of a split, (N, 3, S, S) uint8, memory-mapped."""
        return np.load(self.path / f"{split}_images.npy", mmap_mode="r")

    def labels(self, split: str) -> dict[str, np.ndarray]:
        """All labels of a split's photos (or of the scans); every array has N rows."""
        with np.load(self.path / f"{split}_labels.npz") as stored:
            return dict(stored)
