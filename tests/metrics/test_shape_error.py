"""Per-vertex error against a loop over samples with scipy."""

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics import shape_errors
from recface.metrics.functional import align, per_vertex_error


def reference_error(predicted: np.ndarray, target: np.ndarray) -> float:
    x, y = predicted - predicted.mean(0), target - target.mean(0)
    rotation, _ = Rotation.align_vectors(y, x)
    x = rotation.apply(x)
    return float(np.linalg.norm(x * (x * y).sum() / (x * x).sum() - y, axis=1).mean())


@pytest.fixture
def shapes(people) -> tuple[torch.Tensor, torch.Tensor]:
    true = people.mean + torch.einsum("vck,nk->nvc", people.basis, people.true)
    return people.mean + torch.einsum("vck,nk->nvc", people.basis, people.predicted), true


def test_error_matches_scipy(shapes) -> None:
    predicted, target = shapes
    expected = [reference_error(p, t) for p, t in zip(predicted.numpy(), target.numpy(), strict=True)]
    np.testing.assert_allclose(per_vertex_error(predicted, target).numpy(), expected, rtol=1e-4)


def test_squared_residual_matches_procrustes(shapes) -> None:
    predicted, target = (x[:1].double() for x in shapes)
    disparity = procrustes(target[0].numpy(), predicted[0].numpy())[2]
    spread = (target - target.mean(1, keepdim=True)).square().sum()
    residual = (align(predicted, target) - target).square().sum()
    assert float(residual / spread) == pytest.approx(disparity, rel=1e-9)


def test_only_the_mask_is_aligned_and_measured(shapes) -> None:
    predicted, target = shapes
    mask = torch.arange(predicted.shape[1]) % 3 == 0
    spoilt = predicted.clone()
    spoilt[:, ~mask] = float("nan")
    expected = [reference_error(p, t) for p, t in zip(predicted[:, mask].numpy(), target[:, mask].numpy(), strict=True)]
    np.testing.assert_allclose(per_vertex_error(spoilt, target, mask).numpy(), expected, rtol=1e-4)


def test_chunked_errors_from_parameters(people, shapes) -> None:
    predicted, target = shapes
    errors = shape_errors(people.predicted, people.true, people.basis, people.mean, chunk=7)
    torch.testing.assert_close(errors, per_vertex_error(predicted, target), rtol=1e-4, atol=1e-4)
    mean_face = shape_errors(None, people.true, people.basis, people.mean)
    expected = [reference_error(people.mean.numpy(), t) for t in target.numpy()]
    np.testing.assert_allclose(mean_face.numpy(), expected, rtol=1e-4)


def test_mistakes_are_named(shapes) -> None:
    predicted, target = shapes
    spoilt = predicted.clone()
    spoilt[4, 7, 1] = float("nan")
    with pytest.raises(RecfaceError, match="predicted vertices: row 4 of 120"):
        per_vertex_error(spoilt, target)
    with pytest.raises(RecfaceError, match="predicted 120, target 119"):
        per_vertex_error(predicted, target[1:])
    with pytest.raises(RecfaceError, match=r"mask has shape \(3,\)"):
        per_vertex_error(predicted, target, torch.ones(3, dtype=torch.bool))
