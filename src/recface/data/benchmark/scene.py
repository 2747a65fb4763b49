"""Random scenes: pose, expression, light, and the camera that frames the face; and the conditions they show. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from recface.data.framing import canonical_landmarks, similarity_2d
from recface.face_model import FaceModel
from recface.render import euler_to_matrix

MAX_YAW = np.deg2rad(60.0)


@dataclass
class Scenes:
    """N scenes; every array has N rows."""

    identity_parameters: np.ndarray  # (N, K) whitened shape parameters
    expression: np.ndarray  # (N, E) coefficients in [0, 1]
    angles: np.ndarray  # (N, 3) pitch, yaw, roll in radians
    scale: np.ndarray  # (N,) half images per mm
    translation: np.ndarray  # (N, 2) in half images
    light: np.ndarray  # (N, 9, 3) spherical-harmonics light
    landmarks: np.ndarray  # (N, 68, 2) projected landmarks, normalized

    def __len__(self) -> int:
        return len(self.scale)


def draw_scenes(
    model: FaceModel, identity_parameters: np.ndarray, generator: np.random.Generator, smiling: float = 0.0
) -> Scenes:
    """Draw a scene for each row of whitened shape parameters (N, K) and frame it as an aligned crop with jitter.

    A share `smiling` of the faces smiles.
    """
    count = len(identity_parameters)
    expression = draw_expressions(model.expression_names, count, generator)
    if smiling:
        expression = add_smiles(model.expression_names, expression, smiling, generator)
    angles = draw_angles(count, generator)
    rotation = euler_to_matrix(torch.from_numpy(angles)).numpy()
    with torch.no_grad():
        marks = model.landmarks(torch.from_numpy(identity_parameters).float(), torch.from_numpy(expression).float())
    turned = np.einsum("nij,npj->npi", rotation, marks.double().numpy())[..., :2]
    a, b = similarity_2d(turned, canonical_landmarks(model))
    # A real detector is never exact: turn, size and place are off by a little.
    jitter = np.exp(generator.normal(0, 0.04, count) + 1j * generator.normal(0, 0.06, count))
    shift = generator.normal(0, 0.035, (count, 2))
    a, b = a * jitter, b * jitter + shift[:, 0] + 1j * shift[:, 1]
    angles = angles + np.stack([np.zeros(count), np.zeros(count), np.angle(a)], axis=1)  # roll is the outermost turn
    placed = a[:, None] * (turned[..., 0] + 1j * turned[..., 1]) + b[:, None]
    return Scenes(
        identity_parameters=identity_parameters,
        expression=expression,
        angles=angles,
        scale=np.abs(a),
        translation=np.stack([b.real, b.imag], axis=1),
        light=draw_light(count, generator),
        landmarks=np.stack([placed.real, placed.imag], axis=-1),
    )


def draw_expressions(names: list[str], count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (count, E) expression coefficients: a third of the faces near neutral, the others move a few units."""
    groups = _paired_units(names)
    expression = np.zeros((count, len(names)))
    for row in range(count):
        strength = 0.15 if generator.random() < 0.35 else 0.85
        moved = min(int(generator.integers(1, 5)), len(groups))
        for group in generator.choice(len(groups), size=moved, replace=False):
            side = 1 - 0.3 * generator.random(len(groups[group]))  # faces move unevenly
            expression[row, groups[group]] = strength * generator.random() * side
    return expression


SMILE = {
    "mouthsmile": 1.0,
    "cheeksquint": 0.6,
    "mouthupperup": 0.5,
    "eyesquint": 0.4,
    "mouthstretch": 0.3,
    "jawopen": 0.25,
}
"""Units of a smile by the beginning of their names, in lower case and without separators, and how far each may move."""


def add_smiles(names: list[str], expression: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Let a share of faces smile: units that move together in life, each by an amount of its own. Ours.

    Args:
        names: E names of expression units; those that begin as `SMILE` says take part.
        expression: Coefficients (N, E) in [0, 1].
        share: Of the N faces, in 0..1.
        generator: Draws who smiles, and how much.

    Returns:
        Coefficients (N, E) in [0, 1].
    """
    plain = [name.lower().replace("_", "").replace("-", "") for name in names]
    result, smiling = expression.copy(), generator.random(len(expression)) < share
    strength = generator.uniform(0.2, 1.0, len(expression)) * smiling
    for unit, reach in SMILE.items():
        columns = [column for column, name in enumerate(plain) if name.startswith(unit)]
        amount = strength * reach * generator.uniform(0.4, 1.0, len(expression))
        for column in columns:
            uneven = 1 - 0.2 * generator.random(len(expression))
            result[:, column] = np.clip(result[:, column] * ~smiling + amount * uneven, 0, 1)
    return result


def _paired_units(names: list[str]) -> list[list[int]]:
    """Group expression units that are the left and right half of one movement."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        stem = name
        for suffix in ("_L", "_R", "Left", "Right", "-left", "-right"):
            stem = stem.removesuffix(suffix)
        groups.setdefault(stem if stem not in ("mouth", "jaw") else name, []).append(index)
    return list(groups.values())


def draw_light(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (count, 9, 3) light: ambient, one main direction, a little of the second order, a slight tint."""
    light = np.zeros((count, 9))
    light[:, 0] = generator.uniform(0.65, 1.05, count)
    direction = generator.normal(size=(count, 3)) * [1.0, 0.7, 0.6] + [0, 0.4, 0.5]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    light[:, 1:4] = generator.uniform(0.05, 0.5, (count, 1)) * direction[:, [1, 2, 0]]  # y, z, x: the basis' order
    light[:, 4:] = 0.06 * generator.normal(size=(count, 5))
    tint = 1 + 0.06 * generator.normal(size=(count, 1, 3))
    return light[:, :, None] * tint


def draw_angles(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (count, 3) pitch, yaw and roll: yaw within 60 degrees, roll before the crop straightens it."""
    yaw = np.clip(generator.normal(0, 0.5, count), -MAX_YAW, MAX_YAW)
    pitch = np.clip(generator.normal(0, 0.17, count), -0.45, 0.45)
    return np.stack([pitch, yaw, generator.normal(0, 0.15, count)], axis=1)


LARGE_POSE_DEGREES = 30.0
"""Yaw above which a pose is large: where AFLW2000-3D's second bin begins."""
EXPRESSIVE_NORM = 0.5
"""Norm of the expression coefficients above which a face is expressive: one unit at half of its movement."""
DARK_SHARE = 0.25
"""Light is strong where the side turned away from it gets less than this share of the mean, to first order."""

CONDITIONS = ("light", "expression", "large_pose", "occlusion", "plain")
"""Names in the order of tables; "plain" is none of the others."""


def named_conditions(labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sort photos into conditions; one photo may be in several.

    Source: the conditions are SIR's (methods.md, "SIR", comparison [A]); the thresholds are ours.

    Args:
        labels: `Benchmark.labels` of a split: angles (N, 3) pitch, yaw, roll in radians; expression (N, E); light
            (N, 9, 3) spherical-harmonics coefficients; occluded (N,) bool.

    Returns:
        Condition to (N,) bool, the names of `CONDITIONS`.
    """
    # Irradiance of degree 0 and 1 is c0 + sqrt(3) |c1| cos of the angle to the light's direction.
    light = labels["light"].mean(axis=2)
    dark = light[:, 0] - np.sqrt(3) * np.linalg.norm(light[:, 1:4], axis=1)
    found = {
        "light": dark < DARK_SHARE * light[:, 0],
        "expression": np.linalg.norm(labels["expression"], axis=1) > EXPRESSIVE_NORM,
        "large_pose": np.abs(np.degrees(labels["angles"][:, 1])) > LARGE_POSE_DEGREES,
        "occlusion": labels["occluded"].astype(bool),
    }
    return found | {"plain": ~np.any(list(found.values()), axis=0)}
