"""Landmarks as a detector would give them, for methods that are given landmarks and not the photo alone."""

from __future__ import annotations

import numpy as np

from recface.data import Source
from recface.errors import RecfaceError


def noisy(marks: np.ndarray, noise: float, seed: int, name: str) -> np.ndarray:
    """Add Gaussian noise of one standard deviation for all points.

    0.03 half images, which configs/peer/*_noisy.yaml take, are 0.96 pixels of a crop of 64; the mean distance from the
    true point is 1.25 times that, 1.2 pixels or 4% of the distance of the outer eye corners. The choice is ours: a
    detector's errors also depend on each other and on the face, which this noise does not model.

    Args:
        marks: (N, 68, 2).
        noise: Standard deviation, in the unit of the landmarks; 0 changes nothing.
        seed: Of the noise.
        name: Of the source: each has noise of its own.

    Returns:
        (N, 68, 2).
    """
    generator = np.random.default_rng([seed, *name.encode()])
    return marks + noise * generator.normal(size=marks.shape)


def given_landmarks(source: Source, noise: float, seed: int, method: str) -> np.ndarray:
    """The landmarks (N, 68, 2) that a method is given; photographs, whose landmarks come from a detector, get no noise.

    Args:
        source: Photos with landmarks.
        noise: As `noisy`; for rendered photos, whose landmarks are exact.
        seed: Of the noise.
        method: Its name, for messages.

    Raises:
        RecfaceError: The source has none, or a photo lacks one (named by its row).
    """
    if source.landmarks is None:
        raise RecfaceError(f"{method}: source '{source.name}' has no landmarks, which this method fits")
    lacking = np.flatnonzero(~np.isfinite(source.landmarks).all(axis=(1, 2)))
    if lacking.size:
        raise RecfaceError(f"{method}: photo {lacking[0]} of source '{source.name}' lacks landmarks; remove it")
    marks = np.asarray(source.landmarks, np.float64)
    return marks if source.identity_parameters is None else noisy(marks, noise, seed, source.name)
