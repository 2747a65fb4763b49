"""A sweep: what a W&B sweep file says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recface.settings.yaml_lines import Lines, Mistake

DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep.

    Attributes:
        name: The file's name without its ending; logs are named after it.
        program: Script to run.
        method: "grid", "random" or "bayes".
        parameters: Name to its W&B form: {"value": ...}, {"values": [...]}, or bounds.
        command: Command template.
        run_cap: Most points, None for all.
        metric: {"name", "goal"}.
        early_terminate: {"type": "hyperband", ...}, None to run every point to its end.
        lines: Where everything is in the file.
        overridden: Names of the parameters that the command line set.
    """

    name: str
    program: str
    method: str
    parameters: dict[str, dict[str, Any]]
    command: tuple[str, ...] = DEFAULT_COMMAND
    run_cap: int | None = None
    metric: dict[str, Any] | None = None
    early_terminate: dict[str, Any] | None = None
    lines: Lines = field(default_factory=Lines)
    overridden: frozenset[str] = frozenset()

    def mistake(self, text: str, *path: Any) -> Mistake:
        """A mistake at a path of keys in the file; one in an overridden parameter has no line."""
        outside = path[:1] == ("parameters",) and path[1:2] and path[1] in self.overridden
        return Mistake(None if outside else self.lines.of(*path), text)
