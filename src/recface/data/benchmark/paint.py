"""Procedural albedo, by which a person can be recognized beside the shape. Ours.

Every person gets a skin tone, a smooth random field, brows, eyes, lips, a beard shadow and a hairline of their own,
the same in all photos, as in life. A network can therefore recognize people by their albedo while their shape stays
wrong: the failure that SIR is about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path

from recface.face_model import FaceModel

SKIN_TONES = np.array([[0.86, 0.66, 0.56], [0.74, 0.52, 0.41], [0.58, 0.38, 0.28], [0.36, 0.22, 0.16]])
HAIR_COLORS = np.array([[0.05, 0.04, 0.04], [0.16, 0.10, 0.07], [0.35, 0.23, 0.13], [0.55, 0.53, 0.50]])


@dataclass(frozen=True)
class FaceRegions:
    """Distances in mm from every vertex of the mean shape to the parts that get a color of their own, each (V,).

    `lip_surface` and `mouth_lining` are shares in 0..1 instead.
    """

    position: np.ndarray
    brows: np.ndarray
    eyes: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    cheeks: np.ndarray
    beard: np.ndarray
    hair: np.ndarray
    moustache: np.ndarray
    chin: np.ndarray
    jaw: np.ndarray
    lip_surface: np.ndarray
    mouth_lining: np.ndarray


def face_regions(model: FaceModel) -> FaceRegions:
    """Find brows, eyes, lips, cheeks, beard and hair on the mean shape from its 68 landmarks."""
    points = model.mean.double().numpy()
    marks = points[model.landmarks68.numpy()]
    brows = _distance_to_segments(
        points, marks[[17, 18, 19, 20, 22, 23, 24, 25]], marks[[18, 19, 20, 21, 23, 24, 25, 26]]
    )
    centers = np.stack([marks[36:42].mean(0), marks[42:48].mean(0)])
    eyes = _distance_to_segments(points, np.repeat(centers, 6, 0), marks[36:48])
    iris = np.minimum(*(np.linalg.norm((points - center)[:, :2], axis=1) for center in centers))
    iris = np.where(eyes < 8, iris, np.inf)
    outer, inner = marks[48:60], marks[[60, 60, 61, 62, 63, 64, 64, 64, 65, 66, 67, 60]]
    lips = _distance_to_segments(points, outer, inner)
    cheek_centers = 0.5 * (marks[[31, 35]] + marks[[2, 14]])
    cheeks = np.minimum(*(np.linalg.norm(points - center, axis=1) for center in cheek_centers))
    jaw = _distance_to_segments(points, marks[4:12], marks[5:13])
    beard = np.minimum(jaw, _distance_to_segments(points, marks[[48, 33]], marks[[33, 54]]))
    # Halfway from nose to lips; from the lower lip to the chin; and the whole jaw up to the ears.
    above_lip = 0.5 * (marks[[48, 50, 52]] + marks[[48, 33, 33]]), 0.5 * (marks[[50, 52, 54]] + marks[[33, 33, 54]])
    moustache = _distance_to_segments(points, *above_lip)
    chin = _distance_to_segments(points, marks[[57, 7, 8]], marks[[8, 8, 9]])
    full_jaw = _distance_to_segments(points, marks[1:15], marks[2:16])
    # Marks of the lips lie on the skin: what is well behind them and within their outline lines the mouth.
    behind_lips = points[:, 2] < marks[48:68, 2].min() - 4
    outline = Path(marks[48:60, :2]).contains_points(points[:, :2])
    lip_surface = outline & ~behind_lips
    center = marks[48:60].mean(0)
    near_mouth = np.linalg.norm((points - center) / [1.0, 1.0, 1.6], axis=1) < 26
    mouth_lining = behind_lips & near_mouth & (np.abs(points[:, 1] - center[1]) < 14)
    # Height above the hairline: higher than the forehead, or behind the ears' front and above the jaw.
    brow_height, jaw_depth = marks[17:27, 1].mean(), marks[[0, 16], 2].mean()
    above, behind = points[:, 1] - (brow_height + 58), jaw_depth - 8 - points[:, 2]
    hair = np.maximum(above, np.minimum(behind, points[:, 1] - marks[[0, 16], 1].mean() + 10))
    # Single precision: a person is painted in milliseconds, and thousands are.
    found = (points, brows, eyes, iris, lips, cheeks, beard, hair, moustache, chin, full_jaw, lip_surface, mouth_lining)
    return FaceRegions(*(x.astype(np.float32) for x in found))


def _distance_to_segments(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance (V,) in mm from points (V, 3) to the nearest of the segments start (S, 3) to end (S, 3)."""
    nearest = np.full(len(points), np.inf)
    for a, b in zip(start, end, strict=True):
        along = np.clip((points - a) @ (b - a) / max((b - a) @ (b - a), 1e-9), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - (a + along[:, None] * (b - a)), axis=1))
    return nearest


def paint_person(regions: FaceRegions, generator: np.random.Generator) -> np.ndarray:
    """Draw the albedo of one person, (V, 3) linear RGB in [0.02, 0.98]."""
    tone = generator.beta(1.2, 1.4) * (len(SKIN_TONES) - 1)
    low = min(int(tone), len(SKIN_TONES) - 2)
    skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    skin = skin * (1 + 0.05 * generator.normal(size=3))
    hair = HAIR_COLORS[generator.choice(4, p=[0.4, 0.3, 0.2, 0.1])] * generator.uniform(0.7, 1.2)
    color = np.tile(skin.astype(np.float32), (len(regions.position), 1))
    color *= 1 + generator.uniform(0.03, 0.09) * smooth_field(regions.position, generator)
    blush = generator.uniform(0, 0.25) * np.exp(-((regions.cheeks / 22) ** 2))
    color = blend(color, skin * [1.05, 0.72, 0.70], blush)
    if generator.random() < 0.3:
        shadow = generator.uniform(0.1, 0.6) * np.exp(-((regions.beard / 16) ** 2))
        color = blend(color, 0.5 * (hair + skin), shadow)
    lips = generator.uniform(0.4, 0.9) * np.exp(-((regions.lips / 3.0) ** 4))
    color = blend(color, skin * [0.95, 0.58, 0.58] * generator.uniform(0.75, 1.1), lips)
    socket = generator.uniform(0.1, 0.4) * np.exp(-((regions.eyes / 9) ** 2))
    color = blend(color, 0.6 * skin, socket)
    color = blend(color, np.array([0.78, 0.76, 0.74]), np.exp(-((regions.eyes / 2.5) ** 4)))
    iris = np.array([0.10, 0.06, 0.04]) + generator.uniform(0, 0.25) * np.array([0.3, 0.6, 0.8])
    color = blend(color, iris, 1 / (1 + np.exp((regions.iris - 5.5) / 0.8)))
    brow_width = generator.uniform(2.5, 5.5)
    brows = generator.uniform(0.35, 0.9) * np.exp(-((regions.brows / brow_width) ** 4))
    color = blend(color, hair, brows)
    hairline = 1 / (1 + np.exp(-(regions.hair + generator.normal() * 7) / 3))
    color = blend(color, hair * (1 + 0.15 * smooth_field(regions.position, generator)), 0.95 * hairline)
    return np.clip(color, 0.02, 0.98)


def blend(color: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colors (V, 3) moved to a target (3,) or (V, 3) by weights (V,)."""
    return color + weight[:, None].astype(np.float32) * (target.astype(np.float32) - color)


def smooth_field(position: np.ndarray, generator: np.random.Generator, waves: int = 24) -> np.ndarray:
    """A smooth random field (V, 3) with unit-order deviation: a sum of waves 25 to 120 mm long, mostly gray."""
    direction = generator.standard_normal((waves, 3), np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    frequency = (2 * np.pi / generator.uniform(25, 120, (waves, 1))).astype(np.float32)
    color = generator.standard_normal((waves, 1), np.float32)
    color = color + np.float32(0.35) * generator.standard_normal((waves, 3), np.float32)
    phase = generator.uniform(0, 2 * np.pi, waves).astype(np.float32)
    return np.cos(position @ (direction * frequency).T + phase) @ color * np.float32(np.sqrt(2 / waves))
