"""NME against a NumPy loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.errors import RecfaceError
from recface.metrics.functional import landmark_nme, nme_by_yaw


def landmarks(seed: int = 0, batch: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, 68, 2, generator=random) * torch.tensor([80.0, 110.0])
    return target + torch.randn(batch, 68, 2, generator=random), target


def test_matches_a_loop() -> None:
    predicted, target = landmarks()
    expected = []
    for p, t in zip(predicted.numpy(), target.numpy(), strict=True):
        width, height = t.max(0) - t.min(0)
        expected.append(100 * np.mean([math.dist(a, b) for a, b in zip(p, t, strict=True)]) / math.sqrt(width * height))
    np.testing.assert_allclose(landmark_nme(predicted, target).numpy(), expected, rtol=1e-5)


@given(scale=st.floats(0.01, 100), x=st.floats(-50, 50), y=st.floats(-50, 50))
@settings(deadline=None, max_examples=20)
def test_the_unit_of_the_image_cancels(scale, x, y) -> None:
    predicted, target = (p.double() for p in landmarks())
    shift = torch.tensor([x, y], dtype=torch.float64)
    moved = landmark_nme(scale * predicted + shift, scale * target + shift)
    torch.testing.assert_close(moved, landmark_nme(predicted, target))


def test_samples_without_landmarks_are_left_out_and_depth_is_ignored() -> None:
    predicted, target = landmarks()
    target[2, 5, 0] = float("nan")
    nme = landmark_nme(torch.cat([predicted, torch.full_like(predicted[..., :1], 9)], -1), target)
    assert nme.isnan().nonzero().flatten().tolist() == [2]
    labeled = [0, 1, 3, 4, 5]
    torch.testing.assert_close(nme.nanmean(), landmark_nme(predicted[labeled], target[labeled]).mean())


def test_yaw_bins_close_on_the_right() -> None:
    yaw = torch.tensor([0.0, -30.0, 30.01, 60.0, -75.0, 90.0], dtype=torch.float64) * math.pi / 180
    bins = nme_by_yaw(torch.tensor([1.0, 3.0, 4.0, 6.0, 7.0, float("nan")]), yaw)
    assert bins == pytest.approx({"nme_0_30": 2, "nme_30_60": 5, "nme_60_90": 7, "nme_balanced": 14 / 3})
    assert math.isnan(nme_by_yaw(torch.ones(1), torch.zeros(1))["nme_balanced"])


def test_mistakes_are_named() -> None:
    predicted, target = landmarks()
    with pytest.raises(RecfaceError, match="they must agree"):
        landmark_nme(predicted[:, :5], target)
    with pytest.raises(RecfaceError, match="predicted landmarks: row 1"):
        landmark_nme(predicted.index_fill(0, torch.tensor(1), float("inf")), target)
    with pytest.raises(RecfaceError, match="row 3 has a bounding box without area"):
        landmark_nme(predicted, target.index_fill(0, torch.tensor(3), 2.0))
