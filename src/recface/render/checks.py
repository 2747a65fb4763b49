"""Checks of what reaches compiled kernels, which do not look at array bounds themselves."""

from collections.abc import Sequence

from torch import Tensor

from recface.errors import RecfaceError


def check_size(size: int | Sequence[int]) -> int:
    """The side of a square image.

    Args:
        size: the side, or (height, width).

    Returns:
        The side in pixels.

    Raises:
        RecfaceError: the image is not square or has no pixel.
    """
    sides = list(size) if isinstance(size, Sequence) else [size, size]
    if len(sides) != 2 or sides[0] != sides[1]:
        raise RecfaceError(f"render: image size {size} is not square; give one side, for example size=64")
    if int(sides[0]) != sides[0] or sides[0] < 1:
        raise RecfaceError(f"render: image size {size} is not a positive whole number of pixels")
    return int(sides[0])


def check_mesh(vertices: Tensor, triangles: Tensor) -> None:
    """Make sure that `triangles` (F, 3) indexes `vertices` (B, V, 3).

    Raises:
        RecfaceError: a wrong shape or an index outside the mesh.
    """
    if vertices.ndim != 3 or vertices.shape[-1] != 3:
        raise RecfaceError(f"render: vertices have shape {tuple(vertices.shape)}; (batch, vertices, 3) is needed")
    if triangles.ndim != 2 or triangles.shape[-1] != 3:
        raise RecfaceError(f"render: triangles have shape {tuple(triangles.shape)}; (faces, 3) is needed")
    # On CUDA the look would wait for the device, which checks indices itself.
    if triangles.is_cuda or not len(triangles):
        return
    if int(triangles.min()) < 0 or int(triangles.max()) >= vertices.shape[1]:
        raise RecfaceError(f"render: triangles index vertices outside 0..{vertices.shape[1] - 1}; wrong face model?")


def check_face_index(face_index: Tensor, batch: int, num_faces: int) -> None:
    """Make sure that `face_index` is a (B, S, S) map of `num_faces` faces.

    Raises:
        RecfaceError: a wrong shape or a face outside the mesh.
    """
    shape = tuple(face_index.shape)
    if face_index.ndim != 3 or shape[0] != batch or shape[1] != shape[2]:
        raise RecfaceError(f"render: face_index has shape {shape}; ({batch}, size, size) is needed")
    if not face_index.is_cuda and face_index.numel() and int(face_index.max()) >= num_faces:
        raise RecfaceError(f"render: face_index names faces beyond {num_faces - 1}; it belongs to another mesh")
