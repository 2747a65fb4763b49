"""Checks of what reaches compiled kernels, which do not look at array bounds themselves.

Runs a Numba kernel over the images of a batch, on as many threads as PyTorch may use.

Geometry stays in float32 (or float64) even when the networks run under autocast.
"""

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from recface.errors import RecfaceError


@functools.lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="recface-render")


# A forked child inherits the pool object but none of its threads, and would wait for them for ever.
os.register_at_fork(after_in_child=_pool.cache_clear)


def over_batch(kernel: Callable[..., None], shared: tuple[Tensor | float, ...], batched: tuple[Tensor, ...]) -> None:
    """Call `kernel(*shared, *slices)` on contiguous slices of the batch, in `torch.get_num_threads()` threads (ours).

    Plain threads over `nogil` kernels rather than Numba's `prange`: images are independent, so nothing is lost, and
    no second OpenMP runtime competes with PyTorch's or aborts a forked DataLoader worker. Each image is computed by
    one thread in a fixed order, so the result does not depend on the number of threads.

    Args:
        kernel: compiled with `nogil=True`; writes into its last arguments.
        shared: contiguous CPU tensors and numbers common to all images.
        batched: contiguous CPU tensors whose first dimension is the batch; the kernel sees NumPy arrays.
    """
    common = [item.detach().numpy() if isinstance(item, Tensor) else item for item in shared]
    arrays = [tensor.detach().numpy() for tensor in batched]
    batch = len(arrays[0])
    threads = max(1, min(torch.get_num_threads(), batch))
    bounds = [batch * i // threads for i in range(threads + 1)]
    chunks = [[array[start:stop] for array in arrays] for start, stop in itertools.pairwise(bounds)]
    futures = [_pool(threads - 1).submit(kernel, *common, *chunk) for chunk in chunks[1:]]
    kernel(*common, *chunks[0])
    for future in futures:
        future.result()


P = ParamSpec("P")
T = TypeVar("T")


def _raised(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if is_half else value


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Switch autocast off inside `function` and raise its half-precision tensors to float32 (ours).

    bfloat16 keeps 8 bits of mantissa: a vertex 100 mm from the origin would move by up to 0.25 mm, and a projected
    one by a quarter of a pixel. The cast is differentiable, so gradients go back in the caller's type.

    Args:
        function: any function of tensors; the device is that of its first tensor argument.

    Returns:
        A function of the same signature.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        device = next((tensor.device.type for tensor in tensors), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(_raised, args), **{name: _raised(value) for name, value in kwargs.items()})

    return wrapped


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
