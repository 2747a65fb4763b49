"""Speed of the scan-to-mesh distance against trimesh's closest point, and of the alignment that comes before it.

    python benchmarks/bench_scan.py [--points 100000] [--vertices 50000] [--skip-reference]

A head, and scan points a given distance (standard deviation, mm) off its surface. The distance is timed with the tree
built anew each time, as is trimesh's; ours is the best of several runs, the reference, which takes seconds, runs
once after a small one. libigl takes all cores, or as many as the environment variable IGL_NUM_THREADS says;
trimesh takes one.
"""

import argparse
import os
import time

import numpy as np
import trimesh
from bench_render import grid_head
from measured import Line, best, keep
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from recface.metrics.scan import SearchMesh, Similarity, icp, scan_to_mesh, thin


def head_and_scan(vertices: int, points: int, off: float) -> tuple[trimesh.Trimesh, np.ndarray]:
    """A bumpy head of about so many vertices, and points near it in no order."""
    side = round(vertices**0.5)
    surface, triangles = grid_head(side, side)
    surface = surface.double().numpy()
    head = trimesh.Trimesh(surface + 4 * np.sin(surface[:, [1, 2, 0]] / 12), triangles.numpy(), process=False)
    sampled = trimesh.sample.sample_surface(head, points, seed=0)[0]
    return head, np.asarray(sampled + off * np.random.default_rng(0).normal(size=sampled.shape))


def distances(console: Console, options: argparse.Namespace) -> list[Line]:
    """Scan-to-mesh distances, ours beside the reference's."""
    lines = []
    table = Table("points off by, mm", "ours, s", "trimesh, s", "ratio", "largest difference, mm")
    for off in options.off:
        head, points = head_and_scan(options.vertices, options.points, off)
        ours = best(
            lambda head=head, points=points: scan_to_mesh(points, head.vertices, head.faces),
            options.repeats,
            time.perf_counter,
        )
        row = [f"{off:g}", f"{ours / 1000:.2f}", "-", "-", "-"]
        if not options.skip_reference:
            trimesh.proximity.closest_point(head, points[:100])
            head = trimesh.Trimesh(head.vertices, head.faces, process=False)  # forgets its tree, as ours does
            start = time.perf_counter()
            _, theirs, _ = trimesh.proximity.closest_point(head, points)
            elapsed = time.perf_counter() - start
            difference = np.abs(scan_to_mesh(points, head.vertices, head.faces) - theirs).max()
            row[2:] = [f"{elapsed:.2f}", f"{1000 * elapsed / ours:.1f}", f"{difference:.1e}"]
            what = f"distance of {len(points):,} points {off:g} mm off to {len(head.faces):,} faces, against trimesh"
            lines.append(Line(what, ours / 1000, elapsed, "s"))
        table.add_row(*row)
    console.print(table)
    return lines


def alignment(console: Console, options: argparse.Namespace) -> list[Line]:
    """ICP of a mesh that stands 5 to 10 degrees and some millimeters off."""
    head, points = head_and_scan(options.vertices, options.points, 1.0)
    start = Similarity(1.05, Rotation.from_rotvec([0.1, -0.08, 0.06]).as_matrix(), np.array([4.0, -3, 5]))
    mesh, few = SearchMesh(head.vertices, head.faces), thin(points)
    lines, table = [], Table("ICP", "points", "s", "steps", "rms, mm")
    for name, begin, with_scale in (("similarity", start, True), ("rigid", Similarity(1.0, start.rotation), False)):
        fit = icp(mesh, few, begin, with_scale=with_scale)
        elapsed = best(
            lambda begin=begin, with_scale=with_scale: icp(mesh, few, begin, with_scale=with_scale),
            options.repeats,
            time.perf_counter,
        )
        table.add_row(name, f"{len(few):,}", f"{elapsed / 1000:.2f}", str(fit.iterations), f"{fit.rms:.3f}")
        lines.append(Line(f"{name} ICP of {len(few):,} points", elapsed / 1000, None, "s"))
    console.print(table)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--vertices", type=int, default=50_000)
    parser.add_argument("--off", type=float, nargs="+", default=[1.0, 10.0], help="distance of the points, mm")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-reference", action="store_true", help="leave out trimesh, which takes about 10 s each")
    options = parser.parse_args()
    console = Console()
    head, points = head_and_scan(options.vertices, options.points, 1.0)
    threads = os.environ.get("IGL_NUM_THREADS", "all")
    size = f"{len(points):,} points, {len(head.vertices):,} vertices, {len(head.faces):,} triangles"
    console.print(f"{size}; libigl on {threads} thread(s)")
    keep("scan", [*distances(console, options), *alignment(console, options)])


if __name__ == "__main__":
    main()
