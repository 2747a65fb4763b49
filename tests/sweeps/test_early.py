import json
import math

import optuna
import pytest

from recface.sweeps.early import intermediate_values, pruner


def write(folder, *rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_sweeps_metric_counts_where_it_is_written(tmp_path):
    write(tmp_path, {"step": 1, "a/b": 0.5, "loss/total": 9}, {"step": 2, "a/b": 0.6, "loss/total": 8})
    assert intermediate_values(tmp_path, "a/b", "maximize") == [0.5, 0.6]
    assert intermediate_values(tmp_path, "a/b", "minimize") == [0.5, 0.6]


def test_else_the_loss_which_is_to_fall(tmp_path):
    write(tmp_path, {"step": 1, "loss/total": 9}, {"step": 2, "loss/total": None})
    assert intermediate_values(tmp_path, "a/b", "minimize")[0] == 9
    values = intermediate_values(tmp_path, "a/b", "maximize")
    assert values[0] == -9 and math.isnan(values[1])


def test_a_resumed_run_repeats_lines(tmp_path):
    write(tmp_path, *({"step": step, "a": value} for step, value in [(50, 1), (100, 2), (150, 3), (100, 4), (150, 5)]))
    assert intermediate_values(tmp_path, "a", "maximize") == [1, 4, 5]


def test_nothing_yet_and_half_a_line(tmp_path):
    assert intermediate_values(tmp_path, "a", "maximize") == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 2}\n{"step": 2, "a')
    assert intermediate_values(tmp_path, "a", "maximize") == [2]


@pytest.mark.parametrize(
    ("settings", "first_rung", "eta"),
    [
        ({"min_iter": 3}, 3, 3),
        ({"min_iter": 2, "eta": 2}, 2, 2),
        ({"max_iter": 27, "s": 2}, 3, 3),
        ({"max_iter": 8, "s": 3, "eta": 2}, 1, 2),
    ],
)
def test_brackets_are_wandbs(settings, first_rung, eta):
    """The best of three always goes on; the worst goes on up to its first rung, and not beyond it."""
    study = optuna.create_study(direction="maximize", pruner=pruner({"type": "hyperband"} | settings))
    stopped = []
    for value in (3.0, 2.0, 1.0):
        trial = study.ask()
        for step in range(1, first_rung * eta + 1):
            trial.report(value, step)
            if trial.should_prune():
                stopped.append((value, step))
                break
    assert stopped == [(2.0, first_rung), (1.0, first_rung)]


def test_without_early_termination_nothing_is_stopped():
    assert isinstance(pruner(None), optuna.pruners.NopPruner)
