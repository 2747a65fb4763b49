import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.data.sampler import QuotaSampler, quotas
from recface.errors import RecfaceError


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.integers(8, 128))
def test_quotas_fill_the_batch_in_proportion(shares, batch_size):
    shares = [share if share > 1e-3 else 0.0 for share in shares]
    if not any(shares):
        shares[0] = 1.0
    parts = quotas(shares, batch_size)
    assert sum(parts) == batch_size
    for part, share in zip(parts, shares, strict=True):
        exact = share / sum(shares) * batch_size
        assert (part == 0) if share == 0 else part >= 1
        assert abs(part - exact) < len(shares) + 1


@pytest.mark.parametrize(("shares", "batch"), [([0.0, 0.0], 4), ([1.0, 1.0, 1.0], 2)])
def test_quotas_that_cannot_be_filled_are_named(shares, batch):
    with pytest.raises(RecfaceError, match="data.sources: shares"):
        quotas(shares, batch)


def test_every_photo_is_seen_once_a_pass_and_shares_hold():
    sampler = QuotaSampler([12, 100], [0.25, 0.75], batch_size=16, steps=10, seed=3)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 10
    for batch in batches:
        assert sum(index < 12 for index in batch) == 4
    small = [index for batch in batches for index in batch if index < 12]
    for start in (0, 12, 24):
        assert sorted(small[start : start + 12]) == list(range(12))
    assert small[:12] != small[12:24]  # shuffled anew


def test_a_step_depends_on_seed_and_step_alone():
    def first(seed, epoch):
        sampler = QuotaSampler([40, 40], [1, 1], 8, steps=5, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    whole = QuotaSampler([40, 40], [1, 1], 8, steps=10, seed=1)
    assert list(whole) == first(1, 0) + first(1, 1)
    assert first(1, 0) != first(2, 0)


def test_two_processes_share_each_batch():
    parts = [QuotaSampler([40, 40], [1, 1], 8, 5, seed=1, rank=rank, world_size=2) for rank in (0, 1)]
    whole = QuotaSampler([40, 40], [1, 1], 8, 5, seed=1)
    for step in range(5):
        halves = [part.batch(step) for part in parts]
        assert sorted(np.concatenate(halves)) == sorted(whole.batch(step))
        assert len(halves[0]) == len(halves[1]) == 4
