"""Metrics across two face models, against meshes decoded one by one."""

import numpy as np
import pytest
import torch
from tests.metrics.test_shape_error import reference_error

from recface.metrics import evaluate_shapes, masked_basis
from recface.metrics.functional.geometry import joint_space

VERTICES, MASKED = 60, 40


def model(modes, seed):
    random = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(3 * VERTICES, modes, generator=random))[0]
    mean = 50 * torch.randn(VERTICES, 3, generator=torch.Generator().manual_seed(9))
    return mean + 0.5 * torch.randn(VERTICES, 3, generator=random), basis, torch.linspace(60, 20, modes)


@pytest.fixture
def case(people):
    predicting, true = model(5, 1), model(7, 2)
    mask = torch.arange(VERTICES) < MASKED
    predicted = people.predicted[:, :5]
    return predicting, true, mask, predicted


def decode(parts, parameters):
    mean, basis, sigma = parts
    return (mean.flatten() + (parameters * sigma) @ basis.T).view(len(parameters), -1, 3).double().numpy()


def test_against_decoded_meshes(people, case):
    predicting, true, mask, predicted = case
    joint = joint_space(predicting, true, mask)
    basis = masked_basis(*predicting[1:], mask)
    metrics = evaluate_shapes(predicted, people.identity, basis, true[0][mask], predicting[2], people.true, joint=joint)
    ours, theirs = decode(predicting, predicted), decode(true, people.true)
    people_rows = [np.flatnonzero(people.identity == person)[0] for person in np.unique(people.identity)]
    references, own = theirs[people_rows][:, :MASKED], np.unique(people.identity, return_inverse=True)[1]
    distance = np.sqrt(((ours[:, None, :MASKED] - references[None]) ** 2).sum(-1).mean(-1))
    assert metrics["rank1"] == pytest.approx((distance.argmin(1) == own).mean())
    offsets = [(meshes - true[0].double().numpy()).reshape(len(meshes), -1) for meshes in (ours, theirs)]
    cosine = (offsets[0] * offsets[1]).sum(1) / np.linalg.norm(offsets[0], axis=1) / np.linalg.norm(offsets[1], axis=1)
    assert metrics["truth_cosine"] == pytest.approx(cosine.mean(), abs=1e-5)
    errors = [reference_error(a[:MASKED], b[:MASKED]) for a, b in zip(ours, theirs, strict=True)]
    assert metrics["shape_error_mm"] == pytest.approx(np.mean(errors), rel=1e-5)
    mean_errors = [reference_error(true[0][mask].double().numpy(), b[:MASKED]) for b in theirs]
    assert metrics["mean_face_error_mm"] == pytest.approx(np.mean(mean_errors), rel=1e-5)


def test_one_model_in_both_roles_gives_what_it_gives_without(people, case):
    _, true, mask, _ = case
    basis = masked_basis(*true[1:], mask)
    alone = evaluate_shapes(people.predicted, people.identity, basis, true[0][mask], true[2], people.true)
    joint = joint_space(true, true, mask)
    both = evaluate_shapes(people.predicted, people.identity, basis, true[0][mask], true[2], people.true, joint=joint)
    assert both == pytest.approx(alone, rel=1e-4, abs=1e-5)
