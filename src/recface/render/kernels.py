"""Common ground of the compiled kernels: threads, precision, and the argument checks that compiled code lacks."""

import functools
import itertools
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
import torch
from torch import Tensor

from recface.errors import RecfaceError


def over_batch(kernel: Callable[..., None], shared: tuple[Tensor | float, ...], batched: tuple[Tensor, ...]) -> None:
    """Run a Numba kernel over the images of a batch, on as many threads as PyTorch may use (ours).

    Plain threads over `nogil` kernels rather than Numba's `prange`: images are independent, so nothing is lost, and
    no second OpenMP runtime competes with PyTorch's or aborts a forked DataLoader worker. Each image is computed by
    one thread in a fixed order, so the result does not depend on the number of threads.

    Args:
        kernel: Compiled with `nogil=True`; called as `kernel(*shared, *slices)`; writes into its last arguments.
        shared: Contiguous CPU tensors and numbers common to all images.
        batched: Contiguous CPU tensors whose first dimension is the batch; the kernel sees NumPy arrays.
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


@functools.lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="recface-render")


# A forked child inherits the pool object but none of its threads, and would wait for them forever.
os.register_at_fork(after_in_child=_pool.cache_clear)


P = ParamSpec("P")
T = TypeVar("T")


def compiled(**options: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Compile a kernel with Numba, and keep the machine code: beside the source, in the home, or in a temporary folder.

    Numba knows the first two places, and gives up where neither can be written, as in a container with read-only code.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        make = functools.partial(numba.njit, nogil=True, cache=True, error_model="numpy", **options)
        try:
            return make()(function)
        except RuntimeError:
            setattr(numba.config, "CACHE_DIR", str(_own_temporary_folder()))  # noqa: B010  # numba declares no types
            return make()(function)

    return decorate


def _own_temporary_folder() -> Path:
    """A folder for compiled code that nobody else can write to: Numba unpickles what lies there."""
    folder = Path(tempfile.gettempdir()) / f"recface-numba-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    safe = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022
    return folder if safe else Path(tempfile.mkdtemp(prefix="recface-numba-"))


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Compute geometry and losses in float32 or float64 even where the networks run under autocast (ours).

    bfloat16 keeps 8 bits of mantissa: a vertex 100 mm from the origin would move by up to 0.25 mm, and a projected
    one by a quarter of a pixel. The cast is differentiable, so gradients go back in the caller's type. The device is
    that of the function's first tensor argument.
    """

    def raised(value: Any) -> Any:
        is_half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
        return value.float() if is_half else value

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        device = next((tensor.device.type for tensor in tensors), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(raised, args), **{name: raised(value) for name, value in kwargs.items()})

    return wrapped


def check_mesh(vertices: Tensor, triangles: Tensor) -> None:
    """Require `triangles` (F, 3) to index `vertices` (B, V, 3).

    Raises:
        RecfaceError: A wrong shape or an index outside the mesh.
    """
    if vertices.ndim != 3 or vertices.shape[-1] != 3:
        raise RecfaceError(f"render: vertices must have shape (batch, vertices, 3), not {tuple(vertices.shape)}")
    if triangles.ndim != 2 or triangles.shape[-1] != 3:
        raise RecfaceError(f"render: triangles must have shape (faces, 3), not {tuple(triangles.shape)}")
    if triangles.is_cuda or not len(triangles):  # looking would wait for the device, which checks indices itself
        return
    if int(triangles.min()) < 0 or int(triangles.max()) >= vertices.shape[1]:
        raise RecfaceError(
            f"render: triangles must index vertices 0..{vertices.shape[1] - 1}; take both from one face model"
        )


def check_face_index(face_index: Tensor, batch: int, num_faces: int) -> None:
    """Require `face_index` to be a (B, S, S) map of `num_faces` faces.

    Raises:
        RecfaceError: A wrong shape or a face outside the mesh.
    """
    shape = tuple(face_index.shape)
    if face_index.ndim != 3 or shape[0] != batch or shape[1] != shape[2]:
        raise RecfaceError(f"render: face_index must have shape ({batch}, size, size), not {shape}")
    if not face_index.is_cuda and face_index.numel() and int(face_index.max()) >= num_faces:
        raise RecfaceError(f"render: face_index must name faces up to {num_faces - 1}; rasterize the same mesh")
