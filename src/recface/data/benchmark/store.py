"""Sizes of the embedded benchmark, and its form on disk. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recface.face_model.albedo import AlbedoModel
from recface.files.arrays import read_array, read_arrays

REBUILT = "remove its folder, and the next run makes it again"
PHOTO_SPLITS = ("identity", "landmark", "validation", "test", "control_shape", "control_albedo")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Settings that, with the face model, determine the benchmark. Nobody is in two splits."""

    seed: int  # of everything that is drawn
    image_size: int  # width and height of the photos in pixels
    identity_people: int  # with identity labels, but no landmarks
    identity_photos: int  # of each of them
    landmark_photos: int  # with 68 landmarks, each of another unnamed person
    validation_people: int  # for choosing settings
    test_people: int  # for the tables
    photos_each: int  # of a validation or test person
    control_people: int  # in each of the two control sets
    control_photos: int  # of each of them
    scan_people: int  # with registered scans
    scans_each: int  # of each of them
    albedo_modes: int  # of the linear albedo model
    appearance: str = "plain"  # or lifelike: people with hair, glasses and teeth, before an imperfect camera

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
        return read_array(self.path / f"{split}_images.npy", REBUILT)

    def labels(self, split: str) -> dict[str, np.ndarray]:
        """All labels of a split's photos (or of the scans); every array has N rows."""
        return read_arrays(self.path / f"{split}_labels.npz", remedy=REBUILT)
