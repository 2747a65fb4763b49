"""Speed of the rasterizer against PyTorch3D and Open3D's Embree on the CPU, and of the render part of a training step.

    python benchmarks/bench_render.py [--threads 1] [--sizes 64 112 224] [--skip-reference]

Times are the best of several runs after one to compile; PyTorch3D, which takes up to a minute, runs once after a small
one. Embree builds the tree of each mesh anew, since in training every mesh is new; it is measured where open3d imports.
Writing the z-buffer once, a depth and a face for every pixel, is the least that any rasterizer does.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from measured import Line, best, in_turn, keep
from rich.console import Console
from rich.table import Table
from torch import Tensor

from recface.render import Renderer, euler_to_matrix, interpolate, irradiance, project, rasterize, vertex_normals

SAME = 0.999  # share of the pixels, at least: the others lie within rounding of an edge


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
        return "grid head", *grid_head(60, 60)  # about 7,000 faces
    from recface.face_model import get

    model = get(name)
    return name, model.mean, model.triangles


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


def embree(projected: Tensor, triangles: Tensor, size: int) -> Callable[[], np.ndarray] | None:
    """The nearest face of every pixel by Open3D's ray caster, (B, size, size); None where open3d is not installed."""
    try:
        import open3d
    except ImportError:
        return None
    core, geometry, threads = open3d.core, open3d.t.geometry, torch.get_num_threads()
    faces = core.Tensor(triangles.numpy().astype(np.uint32))
    meshes = [core.Tensor(points) for points in projected.contiguous().numpy()]
    center = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(center, -center)
    above = np.full_like(x, float(projected[..., 2].max()) + 1)
    rays = core.Tensor(np.stack([x, y, above, 0 * x, 0 * x, 0 * x - 1], axis=-1))  # nearest first: larger z is nearer

    def cast(mesh: object) -> np.ndarray:
        scene = geometry.RaycastingScene(nthreads=threads)
        scene.add_triangles(mesh, faces)
        return scene.cast_rays(rays, nthreads=threads)["primitive_ids"].numpy()

    return lambda: np.stack([cast(mesh) for mesh in meshes]).astype(np.int32)  # -1 is background


def compare(
    console: Console, points: Tensor, triangles: Tensor, sizes: list[int], reference: bool, repeats: int
) -> list[Line]:
    """Rasterize 16 meshes with every backend."""
    inputs = batch_of(points, 16)
    with torch.no_grad():
        projected = project(*(inputs[name] for name in ("vertices", "rotation", "scale", "translation")))
    rasterize(projected[:2], triangles, 8, "numba")
    if reference:
        rasterize(projected[:1], triangles, 8, "pytorch3d")
    lines, table = [], Table("pixels", "against", "ours, ms", "other, ms", "ratio", "same face")

    def add(size: int, name: str, ours: float, other: float | str, target: str | None, same: float | None) -> None:
        what = f"rasterize 16 meshes of {len(triangles):,} faces at {size} pixels, against {name}"
        lines.append(Line(what, ours, other, "ms", target))
        other, ratio = (other, "-") if isinstance(other, str) else (f"{other:.3g}", f"{lines[-1].ratio:.4g}")
        table.add_row(str(size), name, f"{ours:.2f}", other, ratio, "-" if same is None else f"{100 * same:.3f}%")

    for size in sizes:

        def ours(size: int = size) -> Tensor:
            return rasterize(projected, triangles, size, "numba")

        def write(size: int = size) -> tuple[Tensor, Tensor]:
            shape = (len(projected), size, size)
            return torch.full(shape, -torch.inf), torch.full(shape, -1)

        found, cast = ours(), embree(projected, triangles, size)
        if reference:
            theirs: list[Tensor] = []
            times = in_turn(ours, lambda: theirs.append(rasterize(projected, triangles, size, "pytorch3d")), repeats=1)  # noqa: B023
            same = (theirs[0] == found).float().mean().item()
            times[0] = min(times[0], best(ours, repeats))
            lines.append(Line(f"same face as PyTorch3D at {size} pixels", same, 1.0, "share", f"ours >= {SAME}"))
            add(size, "PyTorch3D on CPU", *times, "ratio >= 1500" if size == 224 else None, same)
        if cast is None:
            add(size, "Open3D's Embree", best(ours, repeats), "not measured: pip install open3d", "ratio >= 10", None)
        else:
            same = float((cast() == found.numpy()).mean())
            add(size, "Open3D's Embree", *in_turn(ours, cast, repeats=repeats), "ratio >= 10", same)
        add(size, "writing the z-buffer once", *in_turn(ours, write, repeats=repeats), "ratio <= 10", None)
    console.print(table)
    return lines


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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--batch", type=int, default=64, help="of the training step")
    parser.add_argument("--train-size", type=int, default=64, help="pixels of the training step")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--skip-reference", action="store_true", help="leave out PyTorch3D, which takes a minute")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name, points, triangles = head(options.face_model)
    console = Console()
    console.print(f"{name}: {len(points):,} vertices, {len(triangles):,} triangles; {options.threads} thread(s)")
    keep("render", compare(console, points, triangles, options.sizes, not options.skip_reference, options.repeats))
    training_step(console, points, triangles, options.batch, options.train_size, options.repeats)


if __name__ == "__main__":
    main()
