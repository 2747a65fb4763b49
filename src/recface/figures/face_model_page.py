"""A page of the face models: mean, landmarks, region, expressions, modes and random people, to judge at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.font_manager import findfont as find_font
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from recface.errors import RecfaceError
from recface.face_model import FaceModel, get
from recface.render.camera import euler_to_matrix, to_pixels
from recface.render.light import sh_basis
from recface.render.renderer import Renderer

TILE, SUPERSAMPLE, COLUMNS, CAPTION, MARGIN = 180, 2, 10, 20, 12
HALF_HEIGHT_MM, CENTER_MM = 148.0, (0.0, 10.0, -50.0)
SKIN, FACE, LANDMARK = (0.62, 0.50, 0.44), (0.35, 0.56, 0.62), (200, 30, 30)
EXPRESSIONS = ("jawOpen", "mouthSmile", "eyeBlink", "mouthPucker", "browInnerUp")


def studio_light() -> Tensor:
    """Spherical harmonics (1, 9, 3) closest to one lamp at the upper left with soft ambient light."""
    normals = torch.nn.functional.normalize(torch.randn(4096, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    lamp = torch.nn.functional.normalize(torch.tensor([-0.45, 0.5, 0.75]), dim=0)
    target = 0.16 + 0.95 * (normals @ lamp).clamp(min=0)
    return torch.linalg.lstsq(sh_basis(normals), target[:, None]).solution.expand(9, 3)[None].contiguous()


def draw_faces(
    model: FaceModel, shapes: Tensor, yaws: Sequence[float], albedo: Tensor | None = None, landmarks: bool = False
) -> list[Image.Image]:
    """Render shapes (B, V, 3) in mm, turned by yaws in degrees, in an albedo (V, 3) or in skin; one tile each."""
    count, size = len(shapes), TILE * SUPERSAMPLE
    color = torch.tensor(SKIN).expand(model.num_vertices, 3) if albedo is None else albedo
    angles = torch.zeros(count, 3)
    angles[:, 1] = torch.deg2rad(torch.tensor([float(yaw) for yaw in yaws]))
    scale = torch.full((count,), 1 / HALF_HEIGHT_MM)
    rotation = euler_to_matrix(angles)
    shift = -scale[:, None] * (rotation @ torch.tensor(CENTER_MM))[:, :2]  # turn about the head's center
    colors, light = (each.expand(count, -1, -1).contiguous() for each in (color, studio_light()))
    drawn = Renderer(model.triangles, size)(shapes, rotation, scale, shift, colors, light)
    pixels = torch.where(drawn.mask, drawn.image.clamp(0, 1) ** (1 / 2.2), 1.0).permute(0, 2, 3, 1)
    points = to_pixels(drawn.projected[:, model.landmarks68], size)
    tiles = []
    for picture, dots in zip((255 * pixels).byte().numpy(), points, strict=True):
        tile = Image.fromarray(picture)
        if landmarks:
            pen = ImageDraw.Draw(tile)
            for x, y in dots[:, :2].tolist():
                pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=LANDMARK)
        tiles.append(tile.resize((TILE, TILE), Image.Resampling.LANCZOS))
    return tiles


def find_expression(model: FaceModel, name: str) -> list[int]:
    """Indices of an expression by its ARKit name without side; both sides where it has two."""
    sides = {name, f"{name}Left", f"{name}Right", f"{name}_L", f"{name}_R"}
    return [index for index, known in enumerate(model.expression_names) if known in sides]


def model_rows(model: FaceModel, seed: int = 0) -> list[tuple[str, list[Image.Image], list[str]]]:
    """Rows of one model's part of the page: title, tiles, captions."""
    mean = model.mean[None]
    mask = torch.where(model.face_mask[:, None], torch.tensor(FACE), torch.tensor(SKIN))
    first = draw_faces(model, mean.expand(3, -1, -1), (0, 45, 90), landmarks=True)
    first += draw_faces(model, mean.expand(2, -1, -1), (0, 45), albedo=mask)
    expression = torch.zeros(len(EXPRESSIONS), model.num_expressions)
    for row, name in enumerate(EXPRESSIONS):
        expression[row, find_expression(model, name)] = 1.0
    neutral = torch.zeros(len(EXPRESSIONS), model.num_identity)
    first += draw_faces(model, model.shape(neutral, expression), [20] * len(EXPRESSIONS))

    modes = torch.zeros(COLUMNS, model.num_identity)
    for column in range(COLUMNS):
        modes[column, column // 2] = -2.0 if column % 2 == 0 else 2.0
    people = torch.randn(COLUMNS, model.num_identity, generator=torch.Generator().manual_seed(seed))
    yaws = [(-30, 0, 30)[k % 3] for k in range(COLUMNS)]
    sigma = model.identity_sigma
    summary = (
        f"{model.name}: {model.num_vertices:,} vertices, {len(model.triangles):,} triangles, "
        f"{model.num_identity} identity modes, {model.num_expressions} expressions. Licence: {model.licence}."
    )
    return [
        (summary, first, ["mean, 68 landmarks", "", "", "face region", "", *EXPRESSIONS]),
        (
            "The first five identity modes",
            draw_faces(model, model.shape(modes), [20] * COLUMNS),
            [f"mode {k // 2 + 1}: {(-2, 2)[k % 2]:+d}\u03c3 ({sigma[k // 2]:.0f} mm)" for k in range(COLUMNS)],
        ),
        (
            "Ten random people, a ~ N(0, I)",
            draw_faces(model, model.shape(people), yaws),
            [f"yaw {y}\u00b0" for y in yaws],
        ),
    ]


def compose(rows: Sequence[tuple[str, list[Image.Image], list[str]]]) -> Image.Image:
    """Lay rows of tiles out on one white page."""
    height = TILE + 2 * CAPTION + MARGIN
    page = Image.new("RGB", (2 * MARGIN + COLUMNS * TILE, MARGIN + height * len(rows)), "white")
    pen = ImageDraw.Draw(page)
    face = find_font("DejaVu Sans")  # comes with matplotlib, and has Greek letters
    title, small = ImageFont.truetype(face, 15), ImageFont.truetype(face, 11)
    for number, (heading, tiles, captions) in enumerate(rows):
        top = MARGIN + number * height
        pen.text((MARGIN, top), heading, fill="black", font=title)
        for column, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
            left = MARGIN + column * TILE
            page.paste(tile, (left, top + CAPTION))
            pen.text((left + TILE / 2, top + CAPTION + TILE + 2), caption, fill=(80, 80, 80), font=small, anchor="ma")
    return page


def draw_face_model_page(path: Path, data: Path | None = None) -> None:
    """Draw the page as PNG; without ICT-FaceKit in the folder `data` it shows MakeHuman alone."""
    rows = model_rows(get("makehuman"))
    try:
        rows += model_rows(get("ict", data))
    except RecfaceError as error:
        print(f"without ICT-FaceKit: {error}")
    # A palette is enough for shaded skin, and a third of the size.
    compose(rows).quantize(160, dither=Image.Dither.NONE).save(path, optimize=True)
