"""What the server knows: runs, sweeps, agents; and who works on which point next."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from recface.sweeps.spec import Sweep as SweepSettings
from recface.sweeps.spec import grid_points

ENTITY = "someone"
OVER = ("finished", "failed", "killed")


def stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Run:
    """A run, with whatever was sent about it."""

    name: str
    project: str
    number: int
    sweep: str | None = None
    agent: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)  # of the sweep's point, {name: {"value": ...}}
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)  # displayName, groupName, jobType, tags, ...
    state: str = "pending"
    exit_codes: list[int] = field(default_factory=list)  # one of every time that it ended
    heard: float = field(default_factory=time.monotonic)
    created: str = field(default_factory=stamp)

    @property
    def storage_id(self) -> str:
        return f"run-{self.name}"


@dataclass
class Sweep:
    name: str
    project: str
    config: str
    waiting: list[dict[str, Any]]  # points not handed out yet
    runs: list[str] = field(default_factory=list)


@dataclass
class Agent:
    name: str
    sweep: str
    heard: float


class State:
    """Everything, behind one lock.

    Args:
        silence: Seconds without a word after which an agent, or a run of a lost agent, counts as dead.
        clock: Monotonic seconds.
    """

    def __init__(self, silence: float = 12.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.silence, self.clock = silence, clock
        self.runs: dict[tuple[str, str], Run] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.agents: dict[str, Agent] = {}

    def run(self, project: str, name: str) -> Run | None:
        return self.runs.get((project, name))

    def ensure_run(self, project: str, name: str) -> tuple[Run, bool]:
        known = self.run(project, name)
        if known is not None:
            return known, False
        created = self.runs[(project, name)] = Run(name, project, len(self.runs), heard=self.clock())
        return created, True

    def create_sweep(self, config: str, project: str) -> Sweep:
        """Enumerate a grid sweep's points, in W&B's order."""
        content = yaml.safe_load(config)
        settings = SweepSettings.model_validate({"program": ""} | content)
        points = [{key: {"value": value} for key, value in p.parameters.items()} for p in grid_points(settings)]
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = Sweep(name, project, config, points)
        return self.sweeps[name]

    def sweep_runs(self, sweep: Sweep) -> list[Run]:
        return [self.runs[(sweep.project, name)] for name in sweep.runs]

    def is_over(self, sweep: Sweep) -> bool:
        return not sweep.waiting and all(run.state in OVER for run in self.sweep_runs(sweep))

    def create_agent(self, sweep: str) -> Agent:
        agent = Agent(f"agent{len(self.agents)}", sweep, self.clock())
        self.agents[agent.name] = agent
        return agent

    def heartbeat(self, name: str, alive: dict[str, bool]) -> list[dict[str, Any]]:
        """Take an agent's word and answer with commands.

        A run whose process has ended without saying so has failed, and, as with W&B's grids, is not tried again. A run
        whose agent and process have both gone silent is handed to the next agent that has nothing to do: as a command
        "resume" with the whole configuration if it had begun, else as it was.
        """
        agent = self.agents[name]
        agent.heard = self.clock()
        sweep = self.sweeps[agent.sweep]
        mine = [run for run in self.sweep_runs(sweep) if run.agent == name]
        for run in mine:
            if run.state not in OVER and not alive.get(run.name):
                run.state = "failed"
        if any(alive.values()):
            return []
        for run in self.sweep_runs(sweep):
            if run.state not in OVER and self._lost(run):
                return [self._hand_out(sweep, run, agent, "resume" if run.config else "run")]
        if sweep.waiting:
            run, _ = self.ensure_run(sweep.project, f"{sweep.name}run{len(sweep.runs)}")
            run.sweep, run.arguments = sweep.name, sweep.waiting.pop(0)
            sweep.runs.append(run.name)
            return [self._hand_out(sweep, run, agent, "run")]
        return [{"type": "exit"}] if self.is_over(sweep) else []

    def _lost(self, run: Run) -> bool:
        heard = max(run.heard, self.agents[run.agent].heard)
        return self.clock() - heard > self.silence

    def _hand_out(self, sweep: Sweep, run: Run, agent: Agent, kind: str) -> dict[str, Any]:
        run.agent, run.heard = agent.name, self.clock()
        arguments = run.arguments if kind == "run" else run.config
        program = yaml.safe_load(sweep.config)["program"]
        return {"type": kind, "run_id": run.name, "program": program, "args": arguments}

    def stream(self, run: Run, body: dict[str, Any]) -> None:
        """Take what a run streams: history, summary, its end."""
        run.heard = self.clock()
        files = body.get("files") or {}
        history = files.get("wandb-history.jsonl")
        if history:
            run.history[history["offset"] :] = [json.loads(line) for line in history["content"]]
        summary = files.get("wandb-summary.json")
        if summary:
            run.summary = json.loads(summary["content"][-1])
        if body.get("complete"):
            run.exit_codes.append(int(body.get("exitcode") or 0))
            run.state = "finished" if run.exit_codes[-1] == 0 else "failed"
