"""A short form of `python -m tests.faults`: what is killed goes on, to the same result, and nothing twice."""

import signal
from random import Random

import pytest
from tests.faults.disturb import Runs, Sweeps, drawn_signals


def test_signals_are_drawn_from_those_that_are_left() -> None:
    drawn = drawn_signals(2, 1, Random(0))
    assert sorted(drawn) == [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]
    assert len(drawn_signals(50, 10, Random(0))) == 6 and drawn_signals(0, 0, Random(0)) == []


@pytest.mark.slow
def test_a_run_that_is_killed_and_stopped_comes_to_the_same_result(tmp_path, cache_dir, benchmark) -> None:
    runs = Runs(tmp_path, cache_dir, Random(2))
    runs.disturb("disturbed", [signal.SIGTERM, signal.SIGKILL])
    assert runs.outcome.wrong == [] and runs.outcome.largest_difference <= 1e-6
    assert runs.outcome.signals["SIGTERM"] == 1


@pytest.mark.slow
def test_processes_that_share_a_sweep_and_are_killed_lose_and_repeat_nothing(tmp_path) -> None:
    assert Sweeps(tmp_path, Random(1), processes=4, points=8).disturb(kills=4) == []
