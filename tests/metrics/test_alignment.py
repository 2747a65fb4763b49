"""Alignment against scipy's rotation fit and a numerical minimizer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics.functional import align


def points(seed: int, batch: int = 3, count: int = 12) -> torch.Tensor:
    return torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scipy_rigid(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    x, y = source - source.mean(0), target - target.mean(0)
    rotation, _ = Rotation.align_vectors(y, x)
    return rotation.apply(x) + target.mean(0)


def test_rigid_matches_scipy() -> None:
    source, target = points(0), points(1)
    expected = np.stack([scipy_rigid(s, t) for s, t in zip(source.numpy(), target.numpy(), strict=True)])
    np.testing.assert_allclose(align(source, target, with_scale=False).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("mirrored", [False, True])
def test_similarity_reaches_the_numerical_minimum(mirrored) -> None:
    source, target = points(2, batch=1)[0].numpy(), points(3, batch=1)[0].numpy()
    if mirrored:  # the best orthogonal map would be a reflection
        target = source * [-1, 1, 1] + 0.1 * target

    def cost(p: np.ndarray) -> float:
        moved = np.exp(p[6]) * Rotation.from_rotvec(p[:3]).apply(source) + p[3:6]
        return float(((moved - target) ** 2).sum())

    starts = [np.concatenate([v, np.zeros(4)]) for v in 2 * np.random.default_rng(0).normal(size=(12, 3))]
    best = min(minimize(cost, start, method="BFGS").fun for start in starts)
    aligned = align(torch.from_numpy(source)[None], torch.from_numpy(target)[None])[0].numpy()
    assert ((aligned - target) ** 2).sum() == pytest.approx(best, rel=1e-6)


@given(
    seed=st.integers(0, 99),
    scale=st.floats(0.05, 20),
    vector=st.tuples(*[st.floats(-3, 3)] * 3),
    shift=st.tuples(*[st.floats(-100, 100)] * 3),
)
@settings(deadline=None, max_examples=25)
def test_alignment_does_not_change_under_similarity_transforms(seed, scale, vector, shift) -> None:
    source, target = points(seed), points(seed + 100)
    rotation = torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())
    moved = scale * source @ rotation.T + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(align(moved, target), align(source, target), atol=1e-8, rtol=1e-8)
    # A target that is a transform of the source is reached exactly.
    torch.testing.assert_close(align(source, moved), moved, atol=1e-8, rtol=1e-8)


def test_a_mirror_image_is_not_reached_by_reflection() -> None:
    source = points(4)
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    aligned = align(source, mirrored)
    assert (aligned - mirrored).norm(dim=-1).mean() > 0.1
    handed = [torch.linalg.det(x[:, 1:4] - x[:, :1]) for x in (source, aligned)]
    assert torch.equal(handed[0].sign(), handed[1].sign())


def test_rigid_keeps_sizes_and_one_target_serves_all() -> None:
    source, target = points(5), points(6, batch=1)[0]
    aligned = align(source, 3 * target, with_scale=False)
    torch.testing.assert_close(torch.cdist(aligned, aligned), torch.cdist(source, source))
    torch.testing.assert_close(align(source, target), align(source, target.expand(3, -1, -1)))


def test_precision_of_the_source_is_kept_and_flat_sets_align() -> None:
    flat = points(7) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    target = flat @ torch.from_numpy(Rotation.from_euler("xyz", [0.3, -0.8, 2.0]).as_matrix()).T
    aligned = align(flat.float(), target.float())
    assert aligned.dtype == torch.float32
    torch.testing.assert_close(aligned, target.float(), atol=1e-5, rtol=1e-5)


def test_mistakes_are_named() -> None:
    with pytest.raises(RecfaceError, match="same N"):
        align(points(0), points(1, count=11))
    with pytest.raises(RecfaceError, match="3 point sets to 2"):
        align(points(0), points(1, batch=2))
    source = points(0)
    source[1] = 2.0
    with pytest.raises(RecfaceError, match="point set 1: all its points coincide"):
        align(source, points(1))
