"""Random people: mixtures of MakeHuman's macro targets and local sliders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recface.face_model.mpfb import Slider

ETHNICITIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("child", "young", "old")  # MakeHuman's anchors at about 12, 25 and 90 years
LEVELS = ("min", "average", "max")
SLIDER_DEVIATION = (
    0.22  # gives as much variation, after alignment, as the ICT scans have; at 0.35 the heads are caricatures
)


@dataclass(frozen=True)
class Traits:
    """What a person is made of; every row of the first five arrays sums to 1.

    Attributes:
        ethnicity: (B, 3). sex: (B, 2). age: (B, 3). muscle: (B, 3). weight: (B, 3).
        sliders: (B, S) signed slider values.
    """

    ethnicity: np.ndarray
    sex: np.ndarray
    age: np.ndarray
    muscle: np.ndarray
    weight: np.ndarray
    sliders: np.ndarray


def sample_traits(count: int, num_sliders: int, rng: np.random.Generator) -> Traits:
    """Draw people: adults mostly, a tenth of them young, all ethnicities and their mixtures, both sexes.

    Args:
        count: number of people B.
        num_sliders: number of local sliders S.
        rng: random generator.

    Returns:
        The traits. Source: ours.
    """
    sex = rng.beta(0.5, 0.5, count)
    years = np.where(rng.random(count) < 0.1, rng.uniform(-0.4, 0.0, count), rng.beta(1.2, 2.0, count))
    return Traits(
        ethnicity=rng.dirichlet(np.full(len(ETHNICITIES), 0.6), count),
        sex=np.stack([1 - sex, sex], axis=1),
        age=interpolate_anchors(years),
        muscle=interpolate_anchors(rng.normal(0, 0.35, count).clip(-0.8, 0.8)),
        weight=interpolate_anchors(rng.normal(0, 0.40, count).clip(-0.8, 0.9)),
        sliders=rng.normal(0, SLIDER_DEVIATION, (count, num_sliders)),
    )


def interpolate_anchors(values: np.ndarray) -> np.ndarray:
    """Linear interpolation weights of three anchors at -1, 0 and 1.

    Args:
        values: (B,) in [-1, 1].

    Returns:
        (B, 3), rows sum to 1.
    """
    low, high = np.maximum(-values, 0), np.maximum(values, 0)
    return np.stack([low, 1 - low - high, high], axis=1)


def macro_names() -> list[str]:
    """Names of the macro targets, in the order of :func:`macro_weights`."""
    ethnic = [f"{e}-{s}-{a}" for e in ETHNICITIES for s in SEXES for a in AGES]
    body = [f"universal-{s}-{a}-{m}muscle-{w}weight" for s in SEXES for a in AGES for m in LEVELS for w in LEVELS]
    return ethnic + body


def macro_weights(traits: Traits) -> np.ndarray:
    """Weight of every macro target: the product of the traits it stands for.

    Args:
        traits: of B people.

    Returns:
        (B, M) weights in 0..1. Source: MakeHuman's macro modifiers.
    """
    t, rows = traits, len(traits.sex)
    ethnic = np.einsum("be,bs,ba->besa", t.ethnicity, t.sex, t.age)
    body = np.einsum("bs,ba,bm,bw->bsamw", t.sex, t.age, t.muscle, t.weight)
    return np.concatenate([ethnic.reshape(rows, -1), body.reshape(rows, -1)], axis=1)


def assemble(template: np.ndarray, macros: np.ndarray, sliders: Sequence[Slider], traits: Traits) -> np.ndarray:
    """Shapes of people.

    Args:
        template: (V, 3) base mesh in mm.
        macros: (M, V, 3) macro targets, in the order of :func:`macro_names`.
        sliders: S sliders, restricted to the same V vertices.
        traits: of B people.

    Returns:
        (B, V, 3) in mm. A one-way slider takes the absolute value.
    """
    positive = np.stack([s.positive.ravel() for s in sliders])
    negative = np.stack([(s.positive if s.negative is None else s.negative).ravel() for s in sliders])
    up, down = np.maximum(traits.sliders, 0), np.maximum(-traits.sliders, 0)
    flat = macro_weights(traits) @ macros.reshape(len(macros), -1) + up @ positive + down @ negative
    return template + flat.reshape(-1, *template.shape)
