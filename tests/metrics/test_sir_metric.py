"""The SIR metric, rank-1 and references against plain loops over decoded shapes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.errors import RecfaceError
from recface.metrics.functional import (
    decoded_recognition,
    geometry_coordinates,
    rank1,
    recognition,
    reference_photos,
    rms_distances,
    sir_metric,
    true_references,
)


def decode(parameters: torch.Tensor, basis: torch.Tensor) -> np.ndarray:
    return torch.einsum("vck,nk->nvc", basis.double(), parameters.double()).numpy()


def rms(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(np.mean([np.dot(d, d) for d in a - b]))


def naive(probes: np.ndarray, identity: list[int], references: np.ndarray, names: list[int]) -> tuple[float, float]:
    """SIR as methods.md writes it, and rank-1 without ties."""
    total, hits = 0.0, 0
    for shape, person in zip(probes, identity, strict=True):
        distances = [rms(shape, r) for r in references]
        own = names.index(person)
        others = [d for j, d in enumerate(distances) if j != own]
        total += sum(others) / len(others) - distances[own]
        hits += int(np.argmin(distances)) == own
    apart = [rms(a, b) for j, a in enumerate(references) for k, b in enumerate(references) if j != k]
    return total / len(probes) / np.mean(apart), hits / len(probes)


def test_rms_distances_match_decoded_shapes(people) -> None:
    shapes, references = decode(people.predicted[:30], people.basis), decode(people.true[:9], people.basis)
    expected = [[rms(a, b) for b in references] for a in shapes]
    np.testing.assert_allclose(rms_distances(people.predicted[:30], people.true[:9], people.basis), expected, rtol=1e-9)


def test_coordinates_survive_a_singular_basis(people) -> None:
    basis = people.basis[:2, :, [0, 1, 2, 3, 4, 5, 6]].repeat(1, 1, 3)  # 6 numbers seen, 21 modes
    people.predicted = people.predicted.repeat(1, 3)
    points = geometry_coordinates(people.predicted, basis)
    shapes = decode(people.predicted, basis)
    assert float((points[0] - points[1]).norm()) == pytest.approx(rms(shapes[0], shapes[1]), rel=1e-9)


def test_true_references_match_the_loop(people) -> None:
    names, references = true_references(people.identity, people.true)
    assert names.tolist() == sorted(set(people.identity.tolist()))
    values = recognition(people.predicted, people.identity, references, names, people.basis)
    expected = naive(
        decode(people.predicted, people.basis),
        people.identity.tolist(),
        decode(references, people.basis),
        names.tolist(),
    )
    assert (values["sir"], values["rank1"]) == pytest.approx(expected, rel=1e-9)


def test_decoded_references_match_the_loop_and_are_left_out(people) -> None:
    identity = people.identity.tolist()
    best: dict[int, int] = {}
    for row, person in enumerate(identity):
        weights = [
            math.cos(people.yaw_abs[r]) * math.exp(-people.expression_norm[r] / 3) for r in (row, best.get(person, row))
        ]
        if weights[0] >= weights[1]:
            best[person] = row
    names = sorted(best)
    rows = reference_photos(people.identity, people.yaw_abs, people.expression_norm)
    assert rows.tolist() == [best[n] for n in names]
    probes = [r for r in range(len(identity)) if r not in best.values()]
    shapes = decode(people.predicted, people.basis)
    expected = naive(shapes[probes], [identity[r] for r in probes], shapes[[best[n] for n in names]], names)
    values = decoded_recognition(
        people.predicted, people.identity, people.yaw_abs, people.expression_norm, people.basis
    )
    assert (values["sir"], values["rank1"]) == pytest.approx(expected, rel=1e-9)


def test_a_turned_photo_may_beat_a_laughing_one() -> None:
    yaw, expression = torch.tensor([0.0, 0.6, 0.0, 2.0]), torch.tensor([0.9, 0.0, 0.3, 0.0])
    # cos(0.6) = 0.83 beats exp(-0.9 / 3) = 0.74; a back of a head counts nothing.
    assert reference_photos(torch.tensor([0, 0, 1, 1]), yaw, expression).tolist() == [1, 2]
    assert reference_photos(torch.tensor([0, 0]), torch.tensor([0.9, 0.0]), torch.tensor([0.0, 0.9])).tolist() == [1]


def test_perfect_is_one_and_collapse_is_chance(people) -> None:
    names, references = true_references(people.identity, people.true)
    perfect = recognition(people.true, people.identity, references, names, people.basis)
    assert perfect == pytest.approx({"sir": 1.0, "rank1": 1.0})
    mean_face = torch.zeros_like(people.true)
    collapsed = recognition(mean_face, people.identity, references, names, people.basis)
    assert collapsed == pytest.approx({"sir": 0.0, "rank1": 1 / len(names)}, abs=1e-9)
    constant = people.predicted[:1].expand(120, -1)
    noisy = constant + 1e-12 * people.predicted.double()
    for same_face in (mean_face, constant, noisy):
        decoded = decoded_recognition(same_face, people.identity, people.yaw_abs, people.expression_norm, people.basis)
        assert decoded["sir"] == 0
    decoded = decoded_recognition(mean_face, people.identity, people.yaw_abs, people.expression_norm, people.basis)
    assert decoded == pytest.approx({"sir": 0.0, "rank1": 1 / len(names)})  # every reference ties


@given(seed=st.integers(0, 50))
@settings(deadline=None, max_examples=10)
def test_the_order_of_rows_and_the_unit_do_not_matter(seed) -> None:
    random = torch.Generator().manual_seed(seed)
    identity = torch.arange(5).repeat(3)
    parameters = torch.randn(15, 4, generator=random, dtype=torch.float64)
    references = torch.randn(5, 4, generator=random, dtype=torch.float64)
    basis = torch.randn(6, 3, 4, generator=random, dtype=torch.float64)
    order = torch.randperm(15, generator=random)
    value = recognition(parameters, identity, references, torch.arange(5), basis)
    shuffled = recognition(parameters[order], identity[order], references, torch.arange(5), 10 * basis)
    assert {k: float(v) for k, v in shuffled.items()} == pytest.approx(
        {k: float(v) for k, v in value.items()}, rel=1e-9
    )


def test_mistakes_are_named(people) -> None:
    distances, names = torch.ones(2, 3), torch.arange(3)
    with pytest.raises(RecfaceError, match="probe 1 of person 7 has 0 references"):
        rank1(distances, torch.tensor([1, 7]), names)
    with pytest.raises(RecfaceError, match="probe 0 of person 1 has 2 references"):
        rank1(distances, torch.tensor([1, 0]), torch.tensor([0, 1, 1]))
    with pytest.raises(RecfaceError, match=r"expected \(1, 3\)"):
        rank1(distances, torch.tensor([1]), names)
    with pytest.raises(RecfaceError, match="two people or more"):
        sir_metric(torch.ones(2, 1), torch.zeros(2), torch.zeros(1), torch.zeros(1, 1))
    with pytest.raises(RecfaceError, match="single photo"):
        reference_photos(torch.arange(4), torch.zeros(4), torch.zeros(4))
    with pytest.raises(RecfaceError, match="differs from another photo of person"):
        true_references(people.identity, people.predicted)
    with pytest.raises(RecfaceError, match="parameters: row 5 of 120 is not finite"):
        rms_distances(people.predicted.index_fill(0, torch.tensor(5), float("nan")), people.true, people.basis)
