"""Properties of verification pairs."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.errors import RecfaceError
from recface.metrics.functional import verification_pairs


@given(data=st.data(), folds=st.integers(1, 4), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_pairs_hold_their_promises(data, folds, seed) -> None:
    counts = data.draw(st.lists(st.integers(1, 4), min_size=2 * folds, max_size=12).filter(lambda c: max(c) > 1))
    identities = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)) * 7
    identities = identities[torch.randperm(len(identities), generator=torch.Generator().manual_seed(seed))]
    pairs = verification_pairs(identities, folds, seed)
    rows = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(set(map(frozenset, rows))) == len(rows) and all(i != j for i, j in rows)
    assert torch.equal(pairs.same, identities[pairs.first] == identities[pairs.second])
    genuine = {
        frozenset(p) for p in combinations(range(len(identities)), 2) if len(set(identities[list(p)].tolist())) == 1
    }
    assert {frozenset(r) for r, s in zip(rows, pairs.same.tolist(), strict=True) if s} == genuine
    fold_of: dict[int, set[int]] = {}
    for (i, j), fold in zip(rows, pairs.fold.tolist(), strict=True):
        for row in (i, j):
            fold_of.setdefault(int(identities[row]), set()).add(fold)
    assert all(len(used) == 1 for used in fold_of.values())


def test_kinds_balance_in_every_fold_and_the_seed_decides(people) -> None:
    pairs = verification_pairs(people.identity, folds=10)
    for fold in range(10):
        same = pairs.same[pairs.fold == fold]
        assert same.sum() * 2 == len(same) > 0
    again, other = verification_pairs(people.identity), verification_pairs(people.identity, seed=1)
    assert torch.equal(pairs.first, again.first) and torch.equal(pairs.second, again.second)
    assert not torch.equal(pairs.second, other.second)
    assert len(set(torch.bincount(pairs.fold[pairs.same]).tolist())) <= 2  # 24 people in 10 folds: two or three each


def test_groups_restrict_impostors_or_genuine_pairs(people) -> None:
    groups = people.identity // 3 % 2  # people share one of two albedos
    pairs = verification_pairs(people.identity, folds=1, groups=groups)
    assert (groups[pairs.first] == groups[pairs.second]).all()
    albedo = people.index % 3  # photos of a person differ in albedo
    pairs = verification_pairs(people.identity, folds=1, groups=albedo, pairing="genuine_across")
    assert (albedo[pairs.first] != albedo[pairs.second])[pairs.same].all()
    assert (albedo[pairs.first] == albedo[pairs.second])[~pairs.same].any()
    assert pairs.same.sum() * 2 == len(pairs.same)


def test_mistakes_are_named() -> None:
    with pytest.raises(RecfaceError, match="19 people are too few for 10 .* folds <= 9"):
        verification_pairs(torch.arange(19).repeat(2))
    with pytest.raises(RecfaceError, match="no person has two photos"):
        verification_pairs(torch.arange(30))
    with pytest.raises(RecfaceError, match="no impostor pair"):
        verification_pairs(torch.arange(4).repeat(2), folds=2, groups=torch.arange(4).repeat(2))
    with pytest.raises(RecfaceError, match="row 2 is unknown"):
        verification_pairs(torch.tensor([0, 0, -1, 1]), folds=1)
    with pytest.raises(RecfaceError, match="identities 4, groups 3"):
        verification_pairs(torch.arange(4), folds=1, groups=torch.arange(3))
