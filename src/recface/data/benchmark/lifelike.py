"""The appearance `lifelike`: people with hair, beards, glasses and teeth, before a camera that is not perfect. Ours.

A network that has seen bald heads alone takes hair and frames for shape. Here every person gets a look, the same in
all photos: albedo on the mesh (skin, freckles, moles, brows, lips, iris, beard, hairline), and what stands off the head
(hair, glasses, clothes), drawn in the picture from the projected landmarks. Each photo gets light that varies over the
picture, colors, blur and JPEG artifacts of its own.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Polygon
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from recface.data.benchmark.paint import SKIN_TONES, FaceRegions, blend, smooth_field

HAIR_COLORS = np.array(
    [
        [0.04, 0.03, 0.03],
        [0.11, 0.07, 0.05],
        [0.22, 0.13, 0.08],
        [0.45, 0.30, 0.15],
        [0.40, 0.16, 0.07],
        [0.55, 0.53, 0.52],
    ]
)
IRIS_COLORS = np.array(
    [[0.10, 0.05, 0.03], [0.22, 0.12, 0.06], [0.25, 0.26, 0.12], [0.20, 0.32, 0.42], [0.30, 0.36, 0.38]]
)
STUDIO_SHARE = 0.35  # of photos before a wall of one color
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Look:
    """What one person looks like in all photos, beside the shape. Lengths are shares of the distance brows to chin."""

    skin: np.ndarray  # (3,) linear RGB
    hair: np.ndarray  # (3,) linear RGB
    beard: str  # one of BEARDS
    bald: bool
    volume: float  # of the hair beyond the skull
    length: float  # of the hair below the ears, 0 = short
    hairline: float  # height of the hair's edge above the brows
    temples: float  # how much that edge rises toward the temples
    parting: float  # its slope from right to left
    glasses: float  # thickness of the frame, 0 = none
    lens: float  # opacity of the lenses
    frame: np.ndarray  # (3,) color
    cloth: np.ndarray  # (3,) color


def draw_look(generator: np.random.Generator) -> Look:
    """Draw the look of one person."""
    tone = generator.beta(1.0, 1.3) * (len(SKIN_TONES) - 1)
    low = min(int(tone), len(SKIN_TONES) - 2)
    skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    dark = tone > 1.6
    shares = [0.6, 0.3, 0.05, 0.0, 0.0, 0.05] if dark else [0.14, 0.26, 0.24, 0.18, 0.06, 0.12]
    hair = HAIR_COLORS[generator.choice(len(HAIR_COLORS), p=shares)]
    long, glasses = generator.random() < 0.45, generator.random() < 0.15
    fringe = generator.random() < 0.3
    return Look(
        skin=skin * (1 + 0.04 * generator.normal(size=3)),
        hair=hair * generator.uniform(0.7, 1.25) * (1 + 0.05 * generator.normal(size=3)),
        beard="none" if long else str(generator.choice(BEARDS, p=[0.4, 0.25, 0.07, 0.1, 0.18])),
        bald=not long and generator.random() < 0.15,
        volume=generator.uniform(-0.04, 0.06) + long * generator.uniform(0, 0.15),
        length=long * generator.uniform(0.4, 1.8),
        hairline=generator.uniform(0.05, 0.3) if fringe else generator.uniform(0.32, 0.55),
        temples=generator.uniform(0, 0.4) if fringe else generator.uniform(-0.6, 0.1),
        parting=generator.normal(0, 0.25 if fringe else 0.08),
        glasses=glasses * generator.uniform(0.015, 0.06),
        lens=glasses * (generator.uniform(0.6, 0.95) if generator.random() < 0.15 else generator.uniform(0, 0.12)),
        frame=generator.uniform(0, 0.35) * generator.uniform(0.5, 1, 3),
        cloth=generator.uniform(0.02, 0.9) * generator.uniform(0.5, 1, 3),
    )


def paint_look(regions: FaceRegions, look: Look, generator: np.random.Generator) -> np.ndarray:
    """Paint a look on the mesh: albedo (V, 3), linear RGB in [0.02, 0.98]."""
    position, skin, hair = regions.position, look.skin, look.hair
    color = np.tile(skin.astype(np.float32), (len(position), 1))
    color *= 1 + generator.uniform(0.02, 0.06) * smooth_field(position, generator)
    color *= 1 + generator.uniform(0, 0.05) * smooth_field(position / 0.25, generator)
    blush = generator.uniform(0, 0.35) * np.exp(-((regions.cheeks / 22) ** 2))
    color = blend(color, skin * [1.05, 0.72, 0.70], blush)
    for moles, radius, reach in (
        (generator.poisson(5), 1.6, 1.0),
        (generator.poisson(60) * (generator.random() < 0.15), 1.2, 0.5),
    ):
        front = np.flatnonzero(position[:, 2] > np.quantile(position[:, 2], 0.6))
        for vertex in generator.choice(front, size=moles):
            near = np.exp(
                -((np.linalg.norm(position - position[vertex], axis=1) / (radius * generator.uniform(0.6, 1.6))) ** 2)
            )
            color = blend(color, 0.45 * skin, reach * generator.uniform(0.3, 0.9) * near)
    lips = np.where(regions.lip_surface > 0, generator.uniform(0.3, 0.9), 0)
    rouge = [0.95, 0.35, 0.38] if look.length and generator.random() < 0.35 else [0.92, 0.62, 0.60]
    color = blend(color, skin * rouge * generator.uniform(0.75, 1.1), lips)
    color = blend(color, np.array([0.14, 0.05, 0.05]), regions.mouth_lining)
    socket = generator.uniform(0.05, 0.4) * np.exp(-((regions.eyes / 9) ** 2))
    color = blend(color, 0.55 * skin, socket)
    color = blend(
        color, np.array([0.74, 0.71, 0.69]) * generator.uniform(0.85, 1.1), np.exp(-((regions.eyes / 2.5) ** 4))
    )
    iris = IRIS_COLORS[generator.choice(len(IRIS_COLORS), p=[0.35, 0.25, 0.12, 0.18, 0.10])] * generator.uniform(
        0.7, 1.3
    )
    color = blend(color, iris, 1 / (1 + np.exp((regions.iris - 5.8) / 0.5)))
    color = blend(color, np.array([0.02, 0.02, 0.02]), 1 / (1 + np.exp((regions.iris - 2.4) / 0.4)))
    strength = {"none": 0.0, "stubble": generator.uniform(0.15, 0.5)}.get(look.beard, generator.uniform(0.7, 0.97))
    rough = 1 + 0.25 * smooth_field(position / 0.3, generator)
    if look.beard in ("stubble", "moustache", "goatee", "full"):
        color = blend(color, hair * rough, strength * _edge(regions.moustache - generator.uniform(4, 7)))
    if look.beard in ("stubble", "full"):
        color = blend(color, hair * rough, strength * _edge(regions.jaw - generator.uniform(14, 26)))
    if look.beard in ("goatee", "full"):
        color = blend(color, hair * rough, strength * _edge(regions.chin - generator.uniform(12, 20)))
    brows = generator.uniform(0.3, 0.95) * np.exp(-((regions.brows / generator.uniform(2.2, 5.5)) ** 4))
    color = blend(color, hair * generator.uniform(0.5, 1.0), brows)
    if not look.bald:
        line = _edge(-(regions.hair + generator.normal() * 9), 3.0)
        color = blend(color, hair * (1 + 0.2 * smooth_field(position / 0.5, generator)), 0.97 * line)
    return np.clip(color, 0.02, 0.98)


def _edge(distance: np.ndarray, softness: float = 1.5) -> np.ndarray:
    """1 inside (negative distance), 0 outside, over a soft edge of a few mm."""
    return 1 / (1 + np.exp(np.clip(distance / softness, -30, 30)))


@dataclass(frozen=True)
class Frame:
    """Where the head is in a picture: pixels in coordinates of the face, whose unit is the distance brows to chin."""

    across: np.ndarray  # (S, S) to the right of the eyes' middle
    up: np.ndarray  # (S, S) above the brows
    eyes: np.ndarray  # (2, 2) centers of the eyes
    jaw: np.ndarray  # (17, 2)
    mouth: np.ndarray  # (8, 2) inner lips
    yaw: float

    @property
    def ears(self) -> np.ndarray:
        """Upper ends of the jaw (2, 2)."""
        return self.jaw[[0, 16]]

    @property
    def skull(self) -> float:
        """`across` of the middle between the ears."""
        return float(self.ears[:, 0].mean())


def face_frame(landmarks: np.ndarray, yaw: float, size: int) -> Frame:
    """The frame of projected landmarks (68, 2), normalized, in a picture of `size` pixels."""
    brow = landmarks[17:27].mean(axis=0)
    up = brow - landmarks[8]
    unit = max(float(np.hypot(*up)), 1e-3)
    up = up / unit
    axes = np.stack([[up[1], -up[0]], up])
    local = (landmarks - brow) @ axes.T / unit
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(grid, -grid)
    across, height = np.einsum("ij,jhw->ihw", axes, np.stack([x - brow[0], y - brow[1]])) / unit
    eyes = np.stack([local[36:42].mean(axis=0), local[42:48].mean(axis=0)])
    return Frame(across, height, eyes, local[:17], local[60:68], yaw)


def _over(photo: np.ndarray, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A color (3,) or (3, S, S), of opacity (S, S), over a photo (3, S, S)."""
    color = color.astype(np.float32)
    return photo + alpha * ((color[:, None, None] if color.ndim == 1 else color) - photo)


def draw_behind(
    photo: np.ndarray, frame: Frame, look: Look, light: float, generator: np.random.Generator
) -> np.ndarray:
    """Clothes and hair behind the head, over a background (3, S, S)."""
    across, up, soft = frame.across - frame.skull, frame.up, 0.02
    shoulders = (across / 1.7) ** 2 + ((up + 2.25) / 0.8) ** 2 - 1
    photo = _over(photo, light * look.cloth, _edge(shoulders, 2 * soft))
    if look.bald:
        return photo
    wide = 0.68 + look.volume + 0.12 * abs(np.sin(frame.yaw))
    skull = np.hypot(across / wide, (up + 0.02) / (0.70 + look.volume)) - 1
    alpha = _edge(skull, soft)
    if look.length:
        lower = np.maximum(np.abs(across) / (wide + 0.05), (-up - 0.3 - look.length) / 10 + 1) - 1
        alpha = np.maximum(alpha, _edge(np.maximum(lower, up), soft))
    return _over(photo, light * _strands(frame, look, generator), alpha)


def _strands(frame: Frame, look: Look, generator: np.random.Generator) -> np.ndarray:
    """Hair color (3, S, S) with strands that mostly run downward."""
    noise = generator.standard_normal(frame.up.shape)
    strands = gaussian_filter(noise, (3.0, 0.7)) * 3 + gaussian_filter(noise, 4.0) * 3
    return look.hair[:, None, None] * np.clip(1 + 0.3 * strands, 0.3, 2.0)


def draw_before(
    photo: np.ndarray, frame: Frame, look: Look, light: float, generator: np.random.Generator
) -> np.ndarray:
    """Teeth, hair above the forehead, curtains of long hair, and glasses, over a photo (3, S, S) of the head."""
    photo = _teeth(photo, frame, light, generator)
    across, up = frame.across, frame.up
    beside = across - frame.skull
    within = _edge(np.hypot(beside / (0.66 + look.volume), (up + 0.02) / (0.70 + look.volume)) - 1, 0.02)
    alpha = np.zeros_like(up)
    if not look.bald:
        line = look.hairline + look.parting * across + look.temples * across**2
        alpha = _edge(line - up, 0.015) * within
    if look.length:
        # An ear near the middle of the face is turned away, and so is the hair on its side.
        seen = np.where(np.abs(frame.ears[:, 0]) > 0.35, 0.0, np.inf)
        left, right = frame.ears[:, 0] + np.array([-1, 1]) * (0.02 + seen)
        outside = np.maximum(left - across, across - right)
        curtain = (
            _edge(-outside, 0.015)
            * _edge(np.abs(beside) - 0.72 - look.volume, 0.02)
            * _edge(-up - 0.3 - look.length, 0.05)
        )
        alpha = np.maximum(alpha, curtain * _edge(up - 0.5, 0.1))
    if alpha.any():
        photo = _over(photo, light * _strands(frame, look, generator), 0.96 * alpha)
    return _glasses(photo, frame, look, light, generator) if look.glasses else photo


def _teeth(photo: np.ndarray, frame: Frame, light: float, generator: np.random.Generator) -> np.ndarray:
    """Teeth in the upper part of an open mouth, dark below."""
    opening = frame.mouth[1:4, 1].mean() - frame.mouth[5:8, 1].mean()
    if opening < 0.02:
        return photo
    points = np.stack([frame.across, frame.up], axis=-1).reshape(-1, 2)
    inside = Polygon(frame.mouth).contains_points(points).reshape(frame.up.shape).astype(np.float64)
    inside = gaussian_filter(inside, 0.6)
    photo = _over(photo, np.array([0.16, 0.06, 0.06]) * light, 0.8 * inside)
    top = (
        np.interp(frame.across, frame.mouth[:5, 0], frame.mouth[:5, 1])
        if frame.mouth[4, 0] > frame.mouth[0, 0]
        else frame.mouth[:5, 1].mean()
    )
    shown = min(generator.uniform(0.05, 0.12), opening * generator.uniform(0.6, 1.2))
    teeth = inside * _edge(top - shown - frame.up, 0.01)
    return _over(photo, np.array([0.85, 0.80, 0.72]) * light * generator.uniform(0.7, 1.05), 0.9 * teeth)


def _glasses(photo: np.ndarray, frame: Frame, look: Look, light: float, generator: np.random.Generator) -> np.ndarray:
    """Two rims, a bridge and temples."""
    across, up = frame.across, frame.up
    apart = float(np.hypot(*(frame.eyes[1] - frame.eyes[0])))
    rim, lenses = np.full_like(up, np.inf), np.full_like(up, np.inf)
    for center in frame.eyes:
        radius = np.hypot((across - center[0]) / (0.45 * apart + 1e-6), (up - center[1] + 0.03) / 0.21) - 1
        rim, lenses = np.minimum(rim, np.abs(radius) * 0.21), np.minimum(lenses, radius)
    for ear, center, side in zip(frame.ears, frame.eyes, (-1, 1), strict=True):
        start = center[0] + side * 0.45 * apart
        along = (across - start) / (ear[0] - start + 1e-6)
        bar = np.where(
            (along >= 0) & (along <= 1) & (side * (ear[0] - start) > 0), np.abs(up - center[1] - 0.02), np.inf
        )
        rim = np.minimum(rim, bar)
    middle = frame.eyes.mean(axis=0)
    bridge = np.where(np.abs(across - middle[0]) < 0.08 * apart / 0.5, np.abs(up - middle[1] - 0.03), np.inf)
    rim = np.minimum(rim, bridge)
    photo = _over(photo, look.frame * 0.5, look.lens * _edge(lenses, 0.02))
    if generator.random() < 0.3:
        glare = _edge(np.abs(across - up - generator.normal(0, 0.4)) - 0.05, 0.02) * _edge(lenses, 0.02)
        photo = _over(photo, np.ones(3) * min(1.2 * light, 1.0), generator.uniform(0.1, 0.5) * glare)
    return _over(photo, light * look.frame, _edge(rim - look.glasses / 2, 0.008))


def photograph_people(
    head: Tensor,
    mask: Tensor,
    landmarks: np.ndarray,
    yaw: np.ndarray,
    light: np.ndarray,
    looks: list[Look],
    backgrounds: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Dress rendered heads and put them before backgrounds.

    Args:
        head: Rendered at twice the photos' size, zero outside the mask (N, 3, 2 S, 2 S).
        mask: Where the head is (N, 2 S, 2 S) or (N, 1, 2 S, 2 S).
        landmarks: Normalized (N, 68, 2).
        yaw: Of the head in radians (N,).
        light: Spherical harmonics (N, 9, 3); hair and clothes follow its ambient part.
        looks: N looks.
        backgrounds: (N, 3, S, S).
        generator: Draws strands, teeth and glare.

    Returns:
        Photos (N, 3, S, S) in [0, 1], before occluders and camera.
    """
    coverage = functional.avg_pool2d(mask.float(), 2).numpy()
    color = functional.avg_pool2d(head, 2).clamp(0, 1).numpy()
    photos = np.empty_like(backgrounds)
    for row, look in enumerate(looks):
        frame = face_frame(landmarks[row].astype(np.float64), float(yaw[row]), backgrounds.shape[-1])
        ambient = float(light[row, 0].mean())
        plain = generator.random() < STUDIO_SHARE
        wall = np.broadcast_to(backgrounds[row].mean(axis=(1, 2), keepdims=True), backgrounds[row].shape)
        behind = draw_behind(wall if plain else backgrounds[row], frame, look, ambient, generator)
        photos[row] = draw_before(color[row] + (1 - coverage[row]) * behind, frame, look, ambient, generator)
    return photos


def expose(photos: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What a camera and its file do to photos (N, 3, S, S): light across the picture, color, contrast, blur, JPEG."""
    count, _, size, _ = photos.shape
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(grid, -grid)
    result = np.empty_like(photos)
    for row in range(count):
        photo = photos[row].astype(np.float64)
        slope = generator.normal(0, 0.12, 2)
        photo *= np.clip(1 + slope[0] * x + slope[1] * y, 0.4, 1.6)
        if generator.random() < 0.15:  # a shadow's edge
            turn = generator.uniform(0, 2 * np.pi)
            shadow = _edge(
                x * np.cos(turn) + y * np.sin(turn) - generator.normal(0, 0.4), generator.uniform(0.02, 0.15)
            )
            photo *= 1 - generator.uniform(0.2, 0.6) * shadow
        photo *= np.exp(generator.normal(0, 0.06, (3, 1, 1)))
        gray = photo.mean(axis=0)
        photo = gray + generator.uniform(0.6, 1.15) * (photo - gray)
        photo = np.clip(photo, 0, 1) ** np.exp(generator.normal(-0.1, 0.18))
        if generator.random() < 0.3:
            photo = gaussian_filter(photo, (0, *generator.uniform(0, 1.1, 2)))
        if generator.random() < 0.5:
            photo = _through_jpeg(photo, int(generator.integers(35, 96)))
        result[row] = photo
    return result


def _through_jpeg(photo: np.ndarray, quality: int) -> np.ndarray:
    """A photo (3, S, S) in [0, 1] as it comes back from a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray((np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)).save(
        buffer, "JPEG", quality=quality
    )
    return np.asarray(Image.open(buffer), np.float64).transpose(2, 0, 1) / 255
