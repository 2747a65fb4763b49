"""Closing the holes of a face mesh: eyes that are looked through, and a mouth that opens on nothing.

A cap is a stack of shrinking rings inside a rim. Every new vertex is a fixed affine function of the rim, so that a
linear model stays linear, and its first vertices stay what they were.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cap:
    """Vertices that close one rim.

    Attributes:
        rim: (R,) vertices of the rim, in order.
        weights: (N, R) each new vertex as a mixture of rim vertices; rows sum to 1.
        offset: (N, 3) added to the mixture, in mm.
        triangles: (F, 3); index < R means rim vertex, index - R a new vertex.
        moves: whether expressions carry the cap along (the mouth) or leave it in place (eyeballs under the lids).
    """

    rim: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    triangles: np.ndarray
    moves: bool


def boundary_loops(triangles: np.ndarray) -> list[np.ndarray]:
    """Closed boundaries of a mesh, each in the direction of its triangles' edges, longest first.

    Args:
        triangles: (F, 3), manifold.

    Returns:
        Vertex loops.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while (vertex := following.pop(loop[-1])) != start:
            loop.append(vertex)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


# Height (N,) of a cap's surface at points (N, 3), given the rim's points (R, 3).
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def eyeball(points: np.ndarray, rim: np.ndarray, radius: float = 12.5) -> np.ndarray:
    """Height of an eyeball that touches the lids from behind.

    Args:
        points: (N, 3) in mm.
        rim: (R, 3) edge of the lids.
        radius: of the eyeball in mm; a human eye has 12 mm.

    Returns:
        (N,) heights.
    """
    center = rim.mean(axis=0)[:2]

    def dome(at: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(radius**2 - ((at[:, :2] - center) ** 2).sum(axis=1), 0.0))

    return dome(points) + (rim[:, 2] - dome(rim)).min()


def pouch(points: np.ndarray, rim: np.ndarray, depth: float = 20.0) -> np.ndarray:
    """Height of a flat floor behind the lips, (N,), ``depth`` mm behind the rearmost point of the rim."""
    return np.full(len(points), rim[:, 2].min() - depth)


def make_cap(vertices: np.ndarray, rim: np.ndarray, rings: int, surface: Surface, moves: bool) -> Cap:
    """Fill a rim with rings that shrink to a point, lying on a surface.

    Args:
        vertices: (V, 3) mean shape in mm.
        rim: (R,) boundary loop, in the direction :func:`boundary_loops` gives.
        rings: number of rings between rim and point.
        surface: where the new vertices lie on the mean shape, e.g. :func:`eyeball`.
        moves: see :class:`Cap`.

    Returns:
        The cap, with rings * R + 1 new vertices. Source: ours.
    """
    size = len(rim)
    shrink = np.arange(1, rings + 1) / (rings + 1)
    ring_weights = [(1 - s) * np.eye(size) + s / size for s in shrink]
    weights = np.concatenate([*ring_weights, np.full((1, size), 1 / size)])
    mixture = weights @ vertices[rim]
    offset = np.zeros_like(mixture)
    offset[:, 2] = surface(mixture, vertices[rim]) - mixture[:, 2]

    here, after = np.arange(size), np.roll(np.arange(size), -1)
    triangles = []
    for ring in range(rings):
        outer, inner = ring * size, (ring + 1) * size
        # The mesh uses each rim edge forwards; a neighbour must use it backwards.
        triangles += [np.stack([after + outer, here + outer, here + inner], axis=1)]
        triangles += [np.stack([after + outer, here + inner, after + inner], axis=1)]
    point = np.full(size, (rings + 1) * size)
    triangles.append(np.stack([after + rings * size, here + rings * size, point], axis=1))
    return Cap(rim, weights, offset, np.concatenate(triangles), moves)


def cap_vertices(
    shapes: np.ndarray, caps: list[Cap], displacement: bool = False, expression: bool = False
) -> np.ndarray:
    """Append the caps' vertices to shapes or displacement fields.

    Args:
        shapes: (..., V, 3).
        caps: the caps, in order.
        displacement: the field is a displacement: offsets do not apply.
        expression: the field is an expression: caps that do not move get zero.

    Returns:
        (..., V + new, 3).
    """
    parts = [shapes]
    for cap in caps:
        part = np.einsum("nr,...rc->...nc", cap.weights, shapes[..., cap.rim, :])
        if expression and not cap.moves:
            part = np.zeros_like(part)
        parts.append(part if displacement or expression else part + cap.offset)
    return np.concatenate(parts, axis=-2)


def cap_triangles(triangles: np.ndarray, count: int, caps: list[Cap]) -> np.ndarray:
    """Append the caps' triangles to those of a mesh with ``count`` vertices, (F + new, 3)."""
    parts, next_vertex = [triangles], count
    for cap in caps:
        new = np.arange(next_vertex, next_vertex + len(cap.weights))
        parts.append(np.concatenate([cap.rim, new])[cap.triangles])
        next_vertex += len(new)
    return np.concatenate(parts)
