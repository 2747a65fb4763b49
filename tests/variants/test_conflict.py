import json

import numpy as np
import pytest
import torch
from torch import nn

from recface.variants.conflict import ConflictLog, conflict_curves, conflict_metrics, gradient_cosine


def test_the_cosine_of_two_known_gradients():
    a, b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(3.0))
    first, second = (a * torch.tensor([3.0, 0.0])).sum() + 4 * b, a.sum()  # gradients (3, 0, 4) and (1, 1, 0)
    assert gradient_cosine(first, second, [a, b]) == pytest.approx(3 / 5 / np.sqrt(2))
    assert gradient_cosine(first, -first, [a, b]) == pytest.approx(-1)
    (first + second).backward()  # the graph is still there


def test_a_log_keeps_every_nth_step_and_drops_what_a_killed_process_did_beyond_its_checkpoint(tmp_path):
    path, weight = tmp_path / "conflict.jsonl", nn.Parameter(torch.ones(2))
    for first_step, steps in ((0, 7), (4, 9)):
        log = ConflictLog(path, 2, first_step)
        for step in range(first_step, steps):
            terms = {"separation": (weight * step).sum(), "landmark": -weight.sum(), "pixel": weight[0] * 0}
            log.look(step, terms, {"separation": 0.5, "landmark": 2.0, "pixel": 0.0}, [weight])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4, 6, 8]
    assert [line["recognition"] for line in lines] == [0, 4, 8, 12, 16]  # without its weight
    assert all(line["reconstruction"] == -4 for line in lines)
    assert [line["cosine"] for line in lines[1:]] == pytest.approx([-1] * 4)
    values = conflict_metrics(conflict_curves(path))
    assert values == pytest.approx(
        {"gradient_cosine": -1, "conflict_share": 1, "recognition_loss": 14, "reconstruction_loss": -4}
    )


def test_no_log_no_numbers(tmp_path):
    assert conflict_curves(tmp_path / "none.jsonl") == {}


def test_stage_1_has_nothing_to_compare(tmp_path):
    log = ConflictLog(tmp_path / "conflict.jsonl", 1)
    log.look(0, {"landmark": torch.ones(())}, {"landmark": 1.0}, [])
    assert conflict_curves(log.path) == {}
