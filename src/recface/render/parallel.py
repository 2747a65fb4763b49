"""Runs a Numba kernel over the images of a batch, on as many threads as PyTorch may use."""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


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
