"""Surface of a head mesh: its symmetry, its Laplacian, and the face region that shape metrics are taken on."""

import numpy as np
from matplotlib.path import Path as Polygon
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from recface.errors import RecfaceError

REFLECTION = np.array([-1.0, 1.0, 1.0])


def find_mirror(vertices: np.ndarray, tolerance: float) -> np.ndarray:
    """The mirror image (V,) of every vertex in the plane x = 0, an involution, by nearest neighbor.

    Raises:
        RecfaceError: The mesh is not symmetric to the tolerance, in the unit of the vertices.
    """
    distance, mirror = cKDTree(vertices).query(vertices * REFLECTION)
    broken = (mirror[mirror] != np.arange(len(vertices))).sum()
    if broken or distance.max() > tolerance:
        raise RecfaceError(
            f"the face mesh must be symmetric about x = 0 to {tolerance:g}: {broken} vertices have no mirror image, "
            f"the worst lies {distance.max():.3g} off; give a symmetric template"
        )
    return mirror.astype(np.int64)


def fit_mirror(vertices: np.ndarray, rounds: int = 50) -> tuple[np.ndarray, float]:
    """The mirror image (V,) of every vertex in the mesh's own symmetry plane: an involution, exact where it can be.

    The plane starts at x = 0 and is fitted in turn with the nearest vertices (after Besl and McKay's ICP, TPAMI 1992);
    then the nearest pairs are matched first, each vertex once, some with themselves. Ours.

    Args:
        vertices: (V, 3) in mm, of a face that looks along z.
        rounds: Most rounds of the fit.

    Returns:
        The map, and the largest distance in mm between a vertex and its partner's mirror image.
    """
    normal, offset, tree, before = np.array([1.0, 0.0, 0.0]), 0.0, cKDTree(vertices), None
    for _ in range(rounds):
        _, nearest = tree.query(_reflected(vertices, normal, offset))
        if before is not None and (nearest == before).all():
            break
        before, center = nearest, 0.5 * (vertices + vertices[nearest]).mean(axis=0)
        p, q = vertices - center, vertices[nearest] - center
        # Of |q - p + 2 (n p) n|^2, only 4 (n p)(n q) depends on the unit vector n.
        normal = np.linalg.eigh(p.T @ q + q.T @ p)[1][:, 0]
        offset = float(normal @ center)
    images, mirror = _reflected(vertices, normal, offset), np.full(len(vertices), -1)
    while len(free := np.flatnonzero(mirror < 0)):
        count = min(8, len(free))
        distances, near = cKDTree(vertices[free]).query(images[free], k=[*range(1, count + 1)])
        order = np.argsort(distances, axis=None, kind="stable")
        for one, other in zip(np.repeat(free, count)[order].tolist(), free[near].ravel()[order].tolist(), strict=True):
            if mirror[one] < 0 and mirror[other] < 0:
                mirror[one], mirror[other] = other, one
    return mirror, float(np.linalg.norm(images - vertices[mirror], axis=1).max())


def _reflected(points: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    return points - 2 * (points @ normal - offset)[:, None] * normal


def outward(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) counter-clockwise seen from outside, all turned where most are not."""
    a, b, c = (vertices[triangles[:, corner]] - vertices.mean(axis=0) for corner in range(3))
    volume = (a * np.cross(b, c)).sum()
    return triangles if volume >= 0 else triangles[:, ::-1].copy()


def largest_part(triangles: np.ndarray, count: int) -> np.ndarray:
    """Whether each of `count` vertices belongs to the largest connected part of a mesh: skin, unlike eyeballs."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    _, part = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)), directed=False)
    return part == np.bincount(part).argmax()


def reflect(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mirror shapes or displacement fields (..., V, 3) left to right, in correspondence."""
    return shapes[..., mirror, :] * REFLECTION


def symmetrize(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Symmetric part of shapes: their mean with their mirror image, (..., V, 3)."""
    return 0.5 * (shapes + reflect(shapes, mirror))


def graph_laplacian(triangles: np.ndarray, count: int) -> csr_matrix:
    """Uniform graph Laplacian I - D^-1 A (V, V) of a mesh; rows of vertices without neighbors are zero."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = coo_matrix((np.ones(len(both)), both.T), shape=(count, count)).tocsr()
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    inverse = np.divide(1.0, degree, out=np.zeros(count), where=degree > 0)
    return (diags((degree > 0).astype(float)) - diags(inverse) @ adjacency).tocsr()


def face_region(
    mean: np.ndarray,
    triangles: np.ndarray,
    points: np.ndarray,
    mirror: np.ndarray,
    skin: np.ndarray,
    forehead: float = 0.75,
) -> np.ndarray:
    """Visible skin inside the face outline of 68 landmarks (68, 3), seen from the front.

    The outline follows the jaw landmarks and closes over the forehead with half an ellipse, whose height above the
    brows is `forehead` times the distance from brows to nose base: below the hairline. Lining of nostrils, eye
    sockets and mouth is left out, because it cannot be seen. Only skin (V,) may belong to the face, and the mirror map
    makes the region symmetric. Ours.
    """
    jaw = points[:17, :2]
    brow, nose = points[17:27, 1].mean(), points[31:36, 1].mean()
    half_width, top = np.abs(jaw[[0, 16], 0]).mean(), brow + forehead * (brow - nose)
    base = jaw[[0, 16], 1].mean()
    angles = np.linspace(0, np.pi, 33)
    arch = np.stack([half_width * np.cos(angles), base + (top - base) * np.sin(angles)], axis=1)
    inside = Polygon(np.concatenate([jaw, arch])).contains_points(mean[:, :2], radius=1e-6)
    inside &= mean[:, 2] > points[[0, 16], 2].mean() - 5.0  # nothing behind the ears' root
    inside &= skin
    inside[inside] = exposed(mean, triangles, np.flatnonzero(inside))
    return inside | inside[mirror]


# Onlookers in front, below (to see under nose and chin), and to the sides: unit vectors out of the face.
VIEWS = np.array([[0.0, 0.0, 1.0], [0.0, -0.6, 0.8], [0.6, 0.0, 0.8], [-0.6, 0.0, 0.8]])


def exposed(
    vertices: np.ndarray,
    triangles: np.ndarray,
    candidates: np.ndarray,
    views: np.ndarray = VIEWS,
    margin: float = 0.5,
) -> np.ndarray:
    """Whether vertices have a free line of sight to at least one onlooker far away.

    A surface hides one of the candidates (N,) if it lies `margin` mm nearer; views (M, 3) are unit vectors towards the
    onlookers. Ours.
    """
    seen = np.zeros(len(candidates), dtype=bool)
    for view in views:
        if seen.all():
            break
        across = np.cross((0.0, 1.0, 0.0), view)
        across /= np.linalg.norm(across)
        turned = vertices @ np.stack([across, np.cross(view, across), view], axis=1)
        corners, points = turned[triangles], turned[candidates]
        hidden = np.flatnonzero(~seen)
        rows = hidden[points[hidden, 1].argsort()]  # neighbors in a chunk share few triangles: fast
        for chunk in np.array_split(rows, max(1, len(rows) // 64)):
            seen[chunk] = _ceiling(points[chunk], corners) < points[chunk, 2] + margin
    return seen


def _ceiling(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Height of the uppermost triangle (F, 3, 3) above or below each point (N, 3) along z; -inf where there is none."""
    band = (corners[:, :, 1].min(axis=1) <= points[:, 1].max()) & (corners[:, :, 1].max(axis=1) >= points[:, 1].min())
    corners = corners[band]
    x, y = points[:, None, 0], points[:, None, 1]
    low, high = corners[..., :2].min(axis=1), corners[..., :2].max(axis=1)
    near = ((x >= low[:, 0]) & (x <= high[:, 0]) & (y >= low[:, 1]) & (y <= high[:, 1])).nonzero()
    a, b, c = (corners[near[1], k] for k in range(3))
    p = points[near[0]]

    def area(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        return (v[:, 0] - u[:, 0]) * (w[:, 1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (w[:, 0] - u[:, 0])

    total = area(a, b, c)
    total[np.abs(total) < 1e-9] = np.nan  # seen edge on: hides nothing
    weights = np.stack([area(p, b, c), area(a, p, c), area(a, b, p)], axis=1) / total[:, None]
    height = (weights * np.stack([a[:, 2], b[:, 2], c[:, 2]], axis=1)).sum(axis=1)
    height = np.where((weights >= 0).all(axis=1), height, -np.inf)
    top = np.full(len(points), -np.inf)
    np.maximum.at(top, near[0], height)
    return top
