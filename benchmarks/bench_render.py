"""Speed of the renderer against PyTorch3D on the CPU, and of the render part of a training step.

    python benchmarks/bench_render.py [--threads 1] [--sizes 64 112 224] [--skip-reference]

Times are the best of several runs after one to compile; the reference, which takes seconds, runs once
after a small one.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from recface.render import Renderer, euler_to_matrix, interpolate, irradiance, project, rasterize, vertex_normals


def grid_head(rows: int = 64, columns: int = 64) -> tuple[Tensor, Tensor]:
    """An ellipsoid of the size and density of a head: 4,096 vertices, 7,938 triangles."""
    polar, azimuth = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, rows), np.linspace(-np.pi, np.pi, columns), indexing="ij"
    )
    axes = (75 * np.sin(polar) * np.sin(azimuth), 110 * np.cos(polar), 90 * np.sin(polar) * np.cos(azimuth))
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)])
    return torch.tensor(np.stack(axes, axis=-1).reshape(-1, 3), dtype=torch.float32), torch.tensor(triangles)


def head(name: str | None) -> tuple[str, Tensor, Tensor]:
    """A face model's mean shape, or the synthetic head."""
    if name is None:
        return "grid head", *grid_head()
    from recface.face_model import get

    model = get(name)
    return name, model.mean, model.triangles


def best(function: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of `repeats` runs in milliseconds: what the code costs when nothing else runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def batch_of(points: Tensor, batch: int) -> dict[str, Tensor]:
    """Posed copies of a mesh that fill most of the image, all of it requiring gradients."""
    generator = torch.Generator().manual_seed(0)
    extent = (points - points.mean(0)).norm(dim=-1).max()
    light = 0.1 * torch.randn(batch, 9, 3, generator=generator)
    light[:, 0] += 1
    inputs = {
        "vertices": (points - points.mean(0)).expand(batch, -1, -1).clone(),
        "rotation": euler_to_matrix(0.3 * torch.randn(batch, 3, generator=generator)),
        "scale": torch.full((batch,), 0.95 / extent.item()),
        "translation": torch.zeros(batch, 2),
        "albedo": torch.rand(batch, len(points), 3, generator=generator),
        "light": light,
    }
    return {name: value.requires_grad_() for name, value in inputs.items()}


def compare(
    console: Console, points: Tensor, triangles: Tensor, sizes: list[int], reference: bool, repeats: int
) -> None:
    """Rasterize 16 meshes with both backends."""
    inputs = batch_of(points, 16)
    with torch.no_grad():
        projected = project(*(inputs[name] for name in ("vertices", "rotation", "scale", "translation")))
    rasterize(projected[:2], triangles, 8, "numba")
    if reference:
        rasterize(projected[:1], triangles, 8, "pytorch3d")
    console.print("\nrasterize 16 meshes")
    table = Table("pixels", "ours, ms", "PyTorch3D CPU, ms", "ratio", "same face")
    for size in sizes:
        ours = best(lambda size=size: rasterize(projected, triangles, size, "numba"), repeats)
        row = [str(size), f"{ours:.2f}", "-", "-", "-"]
        if reference:
            start = time.perf_counter()
            theirs = rasterize(projected, triangles, size, "pytorch3d")
            elapsed = 1000 * (time.perf_counter() - start)
            same = (theirs == rasterize(projected, triangles, size, "numba")).float().mean().item()
            row[2:] = [f"{elapsed:.0f}", f"{elapsed / ours:.0f}", f"{100 * same:.3f}%"]
        table.add_row(*row)
    console.print(table)


def training_step(console: Console, points: Tensor, triangles: Tensor, batch: int, size: int, repeats: int) -> None:
    """Render forward and backward, and the parts of the forward pass."""
    inputs, renderer = batch_of(points, batch), Renderer(triangles, size)
    weight = torch.rand(batch, 3, size, size)

    def step() -> None:
        for value in inputs.values():
            value.grad = None
        (renderer(**inputs).image * weight).sum().backward()

    step()
    with torch.no_grad():
        out = renderer(**inputs)
        projected, normals = out.projected, vertex_normals(out.projected, triangles)
        parts = {
            "rasterize": lambda: rasterize(projected, triangles, size),
            "normals": lambda: vertex_normals(projected, triangles),
            "light": lambda: irradiance(normals, inputs["light"]),
            "interpolate": lambda: interpolate(projected, triangles, out.face_index, inputs["albedo"]),
            "whole forward": lambda: renderer(**inputs),
        }
        times = {name: best(function, repeats) for name, function in parts.items()}
    times["forward + backward"] = best(step, repeats)
    covered = 100 * out.mask.float().mean().item()
    console.print(f"\ntraining step: batch {batch}, {size} px, {covered:.0f}% covered")
    table = Table("part", "ms")
    for name, value in times.items():
        table.add_row(name, f"{value:.1f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--face-model", default=None, help="a name for recface.face_model.get (default: synthetic head)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--batch", type=int, default=64, help="of the training step")
    parser.add_argument("--train-size", type=int, default=64, help="pixels of the training step")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--skip-reference", action="store_true", help="leave out PyTorch3D, which takes about 20 s")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name, points, triangles = head(options.face_model)
    console = Console()
    console.print(f"{name}: {len(points):,} vertices, {len(triangles):,} triangles; {options.threads} thread(s)")
    compare(console, points, triangles, options.sizes, not options.skip_reference, options.repeats)
    training_step(console, points, triangles, options.batch, options.train_size, options.repeats)


if __name__ == "__main__":
    main()
