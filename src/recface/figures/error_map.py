"""Distances between shapes in color on the mesh, all on one scale in millimeters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recface.face_model import FaceModel
from recface.figures.plots import PAGE, Files, new_figure, style, to_files
from recface.render import Renderer, euler_to_matrix

SIZE, VIEW_SCALE = 360, 1 / 110  # pixels of a view; half views per mm
YAWS = (-0.9, 0.0, 0.9)  # radians: to image left, frontal, to image right
COLORS = "viridis"  # brightness rises all along, also without color vision
OUTSIDE = 0.75  # gray of what is not measured
LIGHT = (
    0.88,
    0.02,
    0.1,
    -0.02,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
)  # coefficients of 1, y, z, x, ...: colors stay those of the bar


def draw_error_map(
    face_model: FaceModel, shapes: Tensor, errors: Tensor, titles: Sequence[str], largest_mm: float | None = None
) -> Files:
    """Draw a row of three views for each shape, and the color bar of all; outside of the face region is gray.

    Args:
        face_model: Topology and face region.
        shapes: (B, V, 3) in mm.
        errors: (B, V) in mm.
        titles: B titles.
        largest_mm: Upper end of the scale, where larger errors end too; by default the largest error in the region.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mask = face_model.face_mask
    largest = float(errors[:, mask].max()) if largest_mm is None else largest_mm
    scale = ScalarMappable(Normalize(0.0, largest or 1.0, clip=True), matplotlib.colormaps[COLORS])
    colors = torch.from_numpy(scale.to_rgba(errors.double().numpy())[..., :3]).float()
    colors[:, ~mask] = OUTSIDE
    views = _three_views(face_model, shapes, colors)
    with style():
        figure = new_figure(PAGE, 0.32 * PAGE * len(shapes))
        axes = figure.subplots(len(shapes), 1, squeeze=False)[:, 0]
        for drawn, row, title in zip(axes, views, titles, strict=True):
            drawn.imshow(row.numpy())
            drawn.set(title=title)
            drawn.set_axis_off()
        bar = figure.colorbar(scale, ax=list(axes), shrink=0.9, extend="neither" if largest_mm is None else "max")
        bar.set_label("distance (mm)")
        return to_files(figure)


def _three_views(face_model: FaceModel, shapes: Tensor, colors: Tensor) -> Tensor:
    """Pictures (B, SIZE, 3 SIZE, 3) uint8 on white."""
    count, views = len(shapes), len(YAWS)
    rotation = euler_to_matrix(torch.tensor([[0.0, yaw, 0.0] for yaw in YAWS])).repeat(count, 1, 1)
    region = face_model.mean[face_model.face_mask]
    middle = (region.amax(0) + region.amin(0)) / 2 * torch.tensor([1.0, 1.0, 0.0])
    placed, painted = (each.repeat_interleave(views, 0) for each in (shapes - middle, colors))
    light = torch.tensor(LIGHT).view(1, 9, 1).expand(len(placed), 9, 3).contiguous()
    still = torch.zeros(len(placed), 2)
    drawn = Renderer(face_model.triangles, SIZE)(
        placed, rotation, torch.full((len(placed),), VIEW_SCALE), still, painted, light
    )
    pictures = torch.where(drawn.mask, drawn.image.clamp(0, 1), 1.0).unflatten(0, (count, views))
    return (255 * pictures).round().byte().permute(0, 3, 1, 4, 2).flatten(2, 3)
