import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from recface.data import sampler as module
from recface.data.sampler import People, QuotaSampler, mixed, permuted, quotas, shuffled_passes
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


def split_mix(state):
    """A step of SplitMix64 in Python's own integers."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_hash_is_that_of_its_source():
    assert mixed(0).tolist() == [0xE220A8397B1DCDAF]  # first number of the published generator with the seed 0
    values = [3, 2**31 - 1, 2**40]
    assert mixed(7, np.array(values)).tolist() == [split_mix(split_mix(7) ^ value) for value in values]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_cipher_permutes(length, key):
    found = permuted(np.arange(length), length, np.array([key], np.uint64))
    assert np.array_equal(np.sort(found), np.arange(length))


def test_cipher_takes_each_its_own_length_and_key():
    lengths, keys = np.array([3, 1, 70_000]), np.arange(3, dtype=np.uint64)
    together = permuted(np.array([2, 0, 69_999]), lengths, keys)
    alone = [permuted(np.array([n - 1]), int(n), keys[[i]])[0] for i, n in enumerate(lengths)]
    assert together.tolist() == alone


@pytest.mark.parametrize("length", [3, 4, 5])
def test_every_order_of_a_few_photos_is_as_likely(length):
    orders, keys = math.factorial(length), mixed(np.arange(200 * math.factorial(length)))
    found = np.stack([permuted(np.full(len(keys), place), length, keys) for place in range(length)], axis=1)
    numbers = {order: number for number, order in enumerate(itertools.permutations(range(length)))}
    counts = np.bincount([numbers[tuple(order)] for order in found.tolist()], minlength=orders)
    assert chisquare(counts).pvalue > 1e-3


def test_a_large_shuffle_looks_like_chance():
    length, count = 6_000_000, 20_000
    first, second = (permuted(np.arange(count), length, mixed(key)) for key in (1, 2))
    chance = np.random.default_rng(0).permutation(length)[:count]
    for found in (first, second, (first - second) % length, np.diff(first) % length):
        assert len(np.unique(found)) > 0.99 * len(found)
        assert kstest(found / length, "uniform").pvalue > 1e-3
    # Neighbors in the source do not become neighbors in the order.
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03 > abs(np.corrcoef(first, chance)[0, 1])


def test_short_sources_keep_the_order_that_records_rest_on():
    sampler = QuotaSampler([7, 100], [0.5, 0.5], batch_size=16, steps=6, seed=5)

    def endless(source, length):  # as the first runs were ordered
        return np.concatenate([np.random.default_rng([5, source, n]).permutation(length) for n in range(9)])

    for step in range(6):
        chosen = slice(step * 8, step * 8 + 8)
        assert sampler.batch(step) == [*endless(0, 7)[chosen], *(7 + endless(1, 100)[chosen])]


def test_long_sources_show_every_photo_once_a_pass(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LIST", 10)
    length = 37
    order = np.concatenate([shuffled_passes(3, 1, length, start, 5) for start in range(0, 2 * length, 5)])
    passes = order[:length], order[length : 2 * length]
    assert [sorted(part) for part in passes] == [list(range(length))] * 2 and (passes[0] != passes[1]).any()
    whole = shuffled_passes(3, 1, length, 0, 2 * length)
    assert np.array_equal(whole, order[: 2 * length])  # whatever the batch


IDENTITY = np.array([2, -1, 0, 2, 2, 0, 3, -1, 2, 2])
"""Ten photos: two of person 0, none of 1, five of 2, one of 3."""


@pytest.mark.parametrize("order", [np.arange(10), IDENTITY.argsort(kind="stable")])
def test_people_and_their_photos(order):
    identity = IDENTITY[order]
    people = People(identity)
    drawn = [people.draw(seed=0, source=0, step=step, quota=6, photos=2) for step in range(10)]
    for rows in drawn:
        assert sorted(identity[rows]) == [0, 0, 2, 2, 3, 3]  # everybody, two photos of each
    own = np.concatenate([rows[identity[rows] == 2] for rows in drawn])
    for begin in range(0, 20, 5):  # five photos: all are seen before one comes again
        assert sorted(own[begin : begin + 5]) == np.flatnonzero(identity == 2).tolist()
    assert people._order is None or (order == np.arange(10)).all()  # no list of photos where they lie by person


def test_a_quota_that_photos_of_a_person_do_not_divide():
    identity = np.repeat(np.arange(50), 8)
    for step in range(4):
        _, counts = np.unique(identity[People(identity).draw(1, 0, step, quota=10, photos=4)], return_counts=True)
        assert sorted(counts) == [2, 4, 4]


def test_people_are_drawn_by_seed_and_step_in_any_number_of_processes():
    identity = np.random.default_rng(0).integers(-1, 30, 400)

    def sampler(rank=0, world_size=1, seed=1):
        options = dict(rank=rank, world_size=world_size, identities=[identity, None], photos_of_person=4)
        return QuotaSampler([400, 40], [1, 1], 16, 5, seed, **options)

    whole, parts = pickle.loads(pickle.dumps(sampler())), [sampler(rank, 2) for rank in (0, 1)]
    for step in (3, 0, 4):
        batch = whole.batch(step)
        assert sorted(np.concatenate([part.batch(step) for part in parts])) == sorted(batch)
        assert np.unique(identity[batch[:8]], return_counts=True)[1].tolist() == [4, 4]
        assert all(400 <= index < 440 for index in batch[8:])
    assert whole.batch(0) != sampler(seed=2).batch(0)
