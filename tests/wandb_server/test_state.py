"""Who gets which point: with a clock of its own, without any process."""

import yaml

from tests.wandb_server.state import State


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def setup(points=2):
    clock = Clock()
    state = State(silence=10.0, clock=clock)
    content = {"program": "run.py", "method": "grid", "parameters": {"seed": {"values": list(range(points))}}}
    sweep = state.create_sweep(yaml.safe_dump(content), "p")
    first, second = state.create_agent(sweep.name), state.create_agent(sweep.name)
    return state, clock, sweep, first.name, second.name


def end(state, command, code=0):
    state.stream(state.runs[("p", command["run_id"])], {"complete": True, "exitcode": code})


def test_points_in_order_then_exit_once_all_are_over():
    state, _, sweep, one, two = setup()
    (a,), (b,) = state.heartbeat(one, {}), state.heartbeat(two, {})
    assert (a["type"], a["args"], b["args"]) == ("run", {"seed": {"value": 0}}, {"seed": {"value": 1}})
    end(state, a)
    assert state.heartbeat(one, {}) == []  # the other may yet die
    assert state.heartbeat(two, {b["run_id"]: True}) == []
    end(state, b)
    assert state.heartbeat(one, {}) == state.heartbeat(two, {}) == [{"type": "exit"}]
    assert state.is_over(sweep) and all(run.exit_codes == [0] for run in state.sweep_runs(sweep))


def test_a_silent_agents_point_is_handed_out_again_once():
    state, clock, _, one, two = setup()
    (a,), (b,) = state.heartbeat(one, {}), state.heartbeat(two, {})
    state.runs[("p", a["run_id"])].config = {"seed": {"value": 0}, "name": {"value": "sir"}}
    end(state, b)
    clock.now = 9.0
    assert state.heartbeat(two, {}) == []
    clock.now = 11.0
    (again,) = state.heartbeat(two, {})
    assert again["type"] == "resume" and again["run_id"] == a["run_id"] and again["args"]["name"] == {"value": "sir"}
    assert state.heartbeat(two, {again["run_id"]: True}) == []


def test_a_run_that_still_speaks_is_left_alone_though_its_agent_is_gone():
    state, clock, _, one, two = setup(points=1)
    (a,) = state.heartbeat(one, {})
    clock.now = 9.0
    state.stream(state.runs[("p", a["run_id"])], {"files": {}})
    clock.now = 15.0
    assert state.heartbeat(two, {}) == []
    end(state, a)
    assert state.heartbeat(two, {}) == [{"type": "exit"}]


def test_a_process_that_ends_without_a_word_has_failed():
    state, _, sweep, one, _ = setup(points=1)
    state.heartbeat(one, {})
    assert state.heartbeat(one, {}) == [{"type": "exit"}]
    assert [run.state for run in state.sweep_runs(sweep)] == ["failed"]
