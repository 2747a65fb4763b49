"""Published numbers of methods that were not run here: external/*/card.yaml, listed in one table a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from recface.errors import RecfaceError
from recface.results.markdown import ARROWS, grid
from recface.results.spec import make

MARK = "published:"
"""Beginning of every protocol id of a card, and of no protocol of this suite."""


@dataclass(frozen=True)
class Number:
    """One published value.

    Attributes:
        protocol: Id, which begins with "published:".
        metric: What was measured.
        unit: "mm", "%", or "" for a plain number.
        direction: "lower" or "higher" is better.
        value: As published.
        source: Where it is printed.
    """

    protocol: str
    metric: str
    unit: str
    direction: str
    value: float
    source: str


@dataclass(frozen=True)
class Card:
    """A method that was not run here; external/README.md explains the keys."""

    name: str
    paper: str
    code: str | None
    face_model: str
    licence: str
    numbers: list[Number]


def read_card(path: str | Path) -> Card:
    """Read and check a card.

    Raises:
        RecfaceError: No YAML, a key unknown or missing, a protocol id of this suite's form, or no number.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    card = make(Card, content, str(path))
    numbers = [make(Number, item, f"{path}: number {i + 1}") for i, item in enumerate(content["numbers"] or [])]
    for i, number in enumerate(numbers):
        where = f"{path}: number {i + 1}"
        if not str(number.protocol).startswith(MARK):
            raise RecfaceError(
                f"{where}: protocol {number.protocol!r} must begin with '{MARK}': published is not measured"
            )
        if number.direction not in ("lower", "higher"):
            raise RecfaceError(f"{where}: direction is {number.direction!r}, not lower or higher")
        if isinstance(number.value, bool) or not isinstance(number.value, (int, float)):
            raise RecfaceError(f"{where}: value {number.value!r} is no number")
    return Card(card.name, card.paper, card.code, card.face_model, card.licence, numbers)


def read_cards(folder: str | Path) -> list[Card]:
    """Read all cards of a folder, external/; none where there is no folder.

    Raises:
        RecfaceError: As `read_card`, or two cards that give one column two units or directions.
    """
    paths = sorted(Path(folder).glob("*/card.yaml"))
    cards = [read_card(path) for path in paths]
    seen: dict[tuple[str, str], tuple[tuple[str, str], Path]] = {}
    for path, card in zip(paths, cards, strict=True):
        for number in card.numbers:
            kind = (number.unit, number.direction)
            first, where = seen.setdefault((number.protocol, number.metric), (kind, path))
            if first != kind:
                raise RecfaceError(f"{path}: {number.protocol} {number.metric} is in {kind}, but in {first} in {where}")
    return cards


def columns(cards: list[Card]) -> dict[str, dict[str, dict[str, Number]]]:
    """Protocol to metric to name of the method to its number: every number under its own protocol."""
    found: dict[str, dict[str, dict[str, Number]]] = {}
    for card in cards:
        for number in card.numbers:
            found.setdefault(number.protocol, {}).setdefault(number.metric, {})[card.name] = number
    return {protocol: found[protocol] for protocol in sorted(found)}


def to_markdown(cards: list[Card]) -> str:
    """Write results/published.md: a table a protocol, best first, then what the methods are.

    Args:
        cards: From `read_cards`.

    Returns:
        Markdown text.
    """
    parts = ["# Published numbers, for orientation"]
    parts.append(
        "They were measured by others, each under the protocol of its heading, on data that this suite does not hold. "
        "None compares with a number of the other tables here, nor with one under another heading. "
        "See external/README.md."
    )
    for protocol, metrics in columns(cards).items():
        parts.append(f"## `{protocol}`")
        first = next(iter(metrics.values()))
        heads = [
            f"{metric}{_unit(next(iter(by.values())))} {ARROWS[next(iter(by.values())).direction]}"
            for metric, by in metrics.items()
        ]
        sign = 1 if next(iter(first.values())).direction == "lower" else -1
        names = sorted(
            {name for by in metrics.values() for name in by},
            key=lambda name: (sign * first[name].value if name in first else 1e9, name),
        )
        lines = [[name, *(f"{by[name].value:g}" if name in by else "–" for by in metrics.values())] for name in names]
        parts.append(grid(["", *heads], lines))
        parts.append("Source: " + "; ".join(sorted({n.source for by in metrics.values() for n in by.values()})) + ".")
    parts.append("## The methods")
    parts.append(
        "\n".join(
            f"- **{c.name}**: {c.paper}. {c.code or 'No code'}. 3DMM: {c.face_model}. Licence: {c.licence}."
            for c in cards
        )
    )
    return "\n\n".join(parts) + "\n"


def _unit(number: Number) -> str:
    return f" ({number.unit})" if number.unit else ""
