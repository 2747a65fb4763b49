import multiprocessing
import threading

import numpy as np
import pytest
import torch

from recface.render.kernels import compiled, over_batch


def double(add: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    target[:] = 2 * source + add


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_every_image_is_done_once(threads, count, batch) -> None:
    threads(count)
    seen = []

    def kernel(add: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
        seen.append((threading.get_ident(), len(source)))
        double(add, source, target)

    source, target = torch.arange(float(batch)), torch.full((batch,), -1.0)
    over_batch(kernel, (torch.ones(1),), (source, target))
    assert torch.equal(target, 2 * source + 1)
    assert sum(length for _, length in seen) == batch
    assert len(seen) == max(1, min(count, batch))


def test_a_failing_kernel_is_heard(threads) -> None:
    threads(2)

    def kernel(source: np.ndarray) -> None:
        if source[0] > 0:
            raise ValueError("second half")

    with pytest.raises(ValueError, match="second half"):
        over_batch(kernel, (), (torch.arange(2.0),))


def in_child() -> None:
    target = torch.zeros(4)
    over_batch(double, (torch.ones(1),), (torch.ones(4), target))
    raise SystemExit(0 if target.tolist() == [3.0] * 4 else 1)


def test_works_in_a_forked_process_after_use_in_its_parent(threads) -> None:
    threads(2)
    over_batch(double, (torch.ones(1),), (torch.ones(4), torch.zeros(4)))
    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0


def test_kernels_compile_where_neither_code_nor_home_can_be_written(tmp_path, monkeypatch):
    from numba.core.caching import CacheImpl, UserProvidedCacheLocator

    monkeypatch.setattr(CacheImpl, "_locator_classes", [UserProvidedCacheLocator])
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @compiled()
    def double(values):
        for i in range(len(values)):
            values[i] *= 2

    values = np.arange(3.0)
    double(values)
    assert values.tolist() == [0, 2, 4] and list(tmp_path.rglob("*.nbi"))
