"""The face that each pixel sees: a visibility decision, so without gradient.

On the CPU by z-buffer scan conversion, on CUDA by PyTorch3D, which is also the reference of the parity tests.
"""

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from recface.errors import RecfaceError
from recface.render.camera import to_pixels
from recface.render.kernels import check_mesh, compiled, over_batch

BACKENDS = ("auto", "numba", "pytorch3d")
# PyTorch3D drops triangles whose doubled area is below this, in normalized units; so do we.
DEGENERATE = 1e-8


@torch.no_grad()
def rasterize(projected: Tensor, triangles: Tensor, size: int, backend: str = "auto") -> Tensor:
    """Index of the nearest face at every pixel center.

    Both sides of a face are seen. The backends agree but for pixel centers within rounding of an edge.

    Args:
        projected: (B, V, 3) normalized coordinates from `camera.project`; larger z is nearer.
        triangles: (F, 3) int64, shared by the batch.
        size: Side of the square image in pixels.
        backend: "numba" (any CPU), "pytorch3d" (CPU or CUDA), or "auto": PyTorch3D for CUDA tensors, else Numba.

    Returns:
        (B, size, size) int64 on the device of `projected`; -1 is background.

    Raises:
        RecfaceError: A size of no pixels, an unknown backend, one that is not installed, or triangles that do not fit
            the vertices.
    """
    if backend not in BACKENDS:
        raise RecfaceError(f"render: the backend must be one of {', '.join(BACKENDS)}, not '{backend}'")
    if size < 1:
        raise RecfaceError(f"render: the image size must be >= 1 pixel, not {size}")
    check_mesh(projected, triangles)
    by_pytorch3d = backend == "pytorch3d" or (backend == "auto" and projected.is_cuda)
    return (rasterize_pytorch3d if by_pytorch3d else rasterize_numba)(projected, triangles, size)


def rasterize_numba(projected: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Nearest face of every pixel, by `_scan_convert`; `rasterize` checks the arguments."""
    vertices = to_pixels(projected.detach(), size).cpu().contiguous()
    face_index = torch.empty(len(vertices), size, size, dtype=torch.int64)
    min_area = DEGENERATE * (size / 2) ** 2
    over_batch(_scan_convert, (triangles.cpu().contiguous(), min_area), (vertices, face_index))
    return face_index.to(projected.device)


@compiled()
def _scan_convert(triangles: ndarray, min_area: float, vertices: ndarray, face_index: ndarray) -> None:
    """Fill `face_index` (B, S, S) from `vertices` (B, V, 3) in pixels, depth larger = nearer.

    Pixel centers on an edge count as inside, so neighbors leave no gap; the nearer face wins, then the first.
    """
    size = face_index.shape[1]
    depth = np.empty((size, size), dtype=vertices.dtype)
    cells = np.empty((vertices.shape[1], 2), dtype=np.int64)
    for b in range(len(face_index)):
        points, index = vertices[b], face_index[b]
        depth[:] = -np.inf
        index[:] = -1
        _first_cells(points, cells, size)
        for f in range(len(triangles)):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            left, right = min(cells[i, 0], cells[j, 0], cells[k, 0]), max(cells[i, 0], cells[j, 0], cells[k, 0])
            top, bottom = min(cells[i, 1], cells[j, 1], cells[k, 1]), max(cells[i, 1], cells[j, 1], cells[k, 1])
            # Most triangles of a dense mesh span no pixel center and end here.
            if left >= right or top >= bottom:
                continue
            x0, y0, z0 = points[i, 0], points[i, 1], points[i, 2]
            x1, y1, z1 = points[j, 0], points[j, 1], points[j, 2]
            x2, y2, z2 = points[k, 0], points[k, 1], points[k, 2]
            area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
            if not abs(area) > min_area:  # also where it is NaN
                continue
            inverse, nearest = 1.0 / area, max(z0, z1, z2)
            for row in range(top, bottom):
                y = row + 0.5
                for column in range(left, right):
                    if depth[row, column] >= nearest:
                        continue
                    x = column + 0.5
                    w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) * inverse
                    w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) * inverse
                    w2 = 1.0 - w0 - w1
                    z = w0 * z0 + w1 * z1 + w2 * z2
                    # One test without branches in between: each would be a coin toss to the processor.
                    if (w0 >= 0.0) & (w1 >= 0.0) & (w2 >= 0.0) & (z > depth[row, column]):
                        depth[row, column] = z
                        index[row, column] = f


@compiled()
def _first_cells(vertices: ndarray, cells: ndarray, size: int) -> None:
    """Fill `cells` (V, 2) with the first column and row whose center is not before the vertex, within 0..size."""
    for v in range(len(vertices)):
        for axis in range(2):
            cell = np.ceil(vertices[v, axis] - 0.5)
            # Clip as floats, where a NaN fails: casting a huge float or a NaN to an integer is undefined.
            cells[v, axis] = 0 if not cell > 0.0 else (size if cell > size else int(cell))


def rasterize_pytorch3d(projected: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Nearest face of every pixel, by PyTorch3D; `rasterize` checks the arguments."""
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise RecfaceError(
            f"render: PyTorch3D does not import ({error}); install easypytorch3d or choose the backend 'numba'"
        ) from error
    batch, faces = len(projected), len(triangles)
    meshes = Meshes(to_pytorch3d(projected.detach().float()), triangles.to(projected.device).expand(batch, -1, -1))
    packed = rasterize_meshes(meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False)[0]
    # Faces are numbered through the batch there, and within a mesh here.
    offset = torch.arange(batch, device=projected.device)[:, None, None] * faces
    packed = packed[..., 0]
    return torch.where(packed < 0, packed, packed - offset)


def to_pytorch3d(projected: Tensor) -> Tensor:
    """Normalized coordinates (B, V, 3) in PyTorch3D's: +x *left*, +y up, +z *into* the screen, 1 or more."""
    x, y, z = projected.unbind(-1)
    return torch.stack([-x, y, z.detach().amax() + 1 - z], dim=-1)
