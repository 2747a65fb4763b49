"""A page of methods side by side: a person's shapes from two photos, and the distance between the two.

After SIR's qualitative comparison (methods.md, "SIR" [A]): light, expression, large pose and occlusion; geometry from
shape parameters alone; a map of the Euclidean distance between two shapes of one person. A good method gives shapes
that resemble the true one and dark maps. (The mean face gives black maps, and resembles nobody.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from recface.data.benchmark.scene import CONDITIONS, named_conditions
from recface.data.workbench import Workbench
from recface.face_model import FaceModel
from recface.metrics.functional import align
from recface.render import Renderer, euler_to_matrix

METHODS = {
    "eos": "eos, exact marks",
    "eos_noisy": "eos, noisy marks",
    "fit": "fit, exact marks",
    "fit_noisy": "fit, noisy marks",
    "baseline": "baseline",
    "sir": "SIR",
}
"""Experiments on the page, where they have records, and their headings."""
TILE, CAPTION, SCALE = 104, 34, 1 / 115
FULL_MM = 6.0
"""Distance at the bright end of the maps, in mm."""


def choose_pairs(conditions: Mapping[str, np.ndarray], identity: np.ndarray, people: int) -> list[tuple[str, int, int]]:
    """Pick photos by rule rather than by eye: the first people with a plain photo and one under that condition alone.

    Nobody appears twice.

    Returns:
        (condition, plain photo, photo under the condition), condition by condition.
    """
    pairs, used = [], set()
    names = [name for name in CONDITIONS if name != "plain"]
    count = np.sum([conditions[name] for name in names], axis=0)
    for name in names:
        left = people
        for person in np.unique(identity):
            own = identity == person
            plain, under = (
                np.flatnonzero(own & chosen) for chosen in (conditions["plain"], conditions[name] & (count == 1))
            )
            if left and person not in used and plain.size and under.size:
                pairs.append((name, int(plain[0]), int(under[0])))
                used.add(person)
                left -= 1
    return pairs


def shape_tile(face_model: FaceModel, vertices: Tensor, color: Tensor | None = None) -> Image.Image:
    """Draw a shape (V, 3) in mm, turned slightly: unlit in colors (V, 3) of its vertices, or gray and lit from above.

    In gray, the head is darker around the face region.
    """
    light = torch.zeros(1, 9, 3)
    if color is None:
        color = torch.where(face_model.face_mask[:, None], 0.8, 0.55).expand(-1, 3)
        light[0, 0], light[0, 1], light[0, 2], light[0, 3] = 0.5, 0.2, 0.22, 0.12
    else:
        light[0, 0] = 1.0
    renderer = Renderer(face_model.triangles, 2 * TILE)
    rotation = euler_to_matrix(torch.tensor([[0.0, 0.35, 0.0]]))
    place = torch.full((1,), SCALE), torch.zeros(1, 2)
    drawn = renderer(vertices[None], rotation, *place, color[None].contiguous(), light)
    image = torch.where(drawn.mask[0], drawn.image[0].clamp(0, 1), 1.0)
    pixels = (255 * image).byte().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BOX)


def distance_colors(first: Tensor, second: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """Color vertices by the distance between two shapes (V, 3), the second aligned to the first on the face region.

    Returns:
        (V, 3) colors, gray outside of the region; the mean distance in the region in mm.
    """
    distance = (align(second[None, mask], first[None, mask])[0] - first[mask]).norm(dim=-1)
    colors = torch.full((len(mask), 3), 0.8)
    shades = matplotlib.colormaps["inferno"]((distance / FULL_MM).clamp(0, 1).numpy())[:, :3]
    colors[mask] = torch.from_numpy(shades).float()
    return colors, float(distance.mean())


def draw_comparison_page(
    bench: Workbench, methods: Mapping[str, np.ndarray], path: Path, people: int = 2
) -> list[tuple[str, int, int]]:
    """Draw the page as PNG from each experiment's parameters (N, K) of the test photos; missing modes are 0.

    Returns:
        The pairs drawn, as `choose_pairs` finds them for a number of people for each condition.
    """
    model, labels, images = bench.face_model, bench.benchmark.labels("test"), bench.benchmark.images("test")
    pairs = choose_pairs(named_conditions(labels), labels["identity"], people)
    heads = ["condition", "plain photo", "photo", "true shape"]
    page = Image.new("RGB", ((3 + 2 * len(methods)) * TILE + 84, CAPTION + len(pairs) * TILE), "white")
    draw = ImageDraw.Draw(page)
    for column, head in enumerate(heads):
        draw.text((4 if column == 0 else 84 + (column - 1) * TILE + 4, 8), head, fill="black", font_size=13)
    for index, name in enumerate(methods):
        left = 84 + (3 + 2 * index) * TILE
        draw.text((left + 4, 2), METHODS.get(name, name), fill="black", font_size=13)
        draw.text((left + 4, 17), f"shape | distance, 0 to {FULL_MM:g} mm", fill="#555555", font_size=11)
    for row, (condition, plain, under) in enumerate(pairs):
        top = CAPTION + row * TILE
        draw.text((4, top + TILE // 2 - 14), condition.replace("_", "\n"), fill="black", font_size=13)
        for column, photo in enumerate((plain, under)):
            tile = Image.fromarray(images[photo].transpose(1, 2, 0)).resize((TILE, TILE), Image.Resampling.BICUBIC)
            page.paste(tile, (84 + column * TILE, top))
        page.paste(
            shape_tile(model, model.shape(torch.from_numpy(labels["identity_parameters"][[under]]))[0]),
            (84 + 2 * TILE, top),
        )
        for index, parameters in enumerate(methods.values()):
            padded = torch.zeros(2, model.num_identity)
            padded[:, : parameters.shape[1]] = torch.from_numpy(parameters[[plain, under]])
            first, second = model.shape(padded)
            colors, mean = distance_colors(first, second, model.face_mask)
            left = 84 + (3 + 2 * index) * TILE
            page.paste(shape_tile(model, second), (left, top))
            page.paste(shape_tile(model, first, colors), (left + TILE, top))
            draw.text((left + TILE + 4, top + TILE - 15), f"{mean:.1f} mm", fill="black", font_size=11)
    page.quantize(256).save(path, optimize=True)
    return pairs
