"""Cards of third-party methods: external/*/card.yaml describes a method and lists the numbers it published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from recface.errors import RecfaceError
from recface.settings.declared import Settings, read_settings

MARK = "published:"
"""Beginning of every protocol id of a card, and of no protocol of this suite."""


def _published(protocol: str) -> str:
    if not protocol.startswith(MARK):
        raise ValueError(f"must begin with '{MARK}', not {protocol!r}: published is not measured")
    return protocol


class Number(Settings):
    """One value as published: the protocol's id begins with "published:"; the unit is "mm", "%", or "" for none."""

    protocol: Annotated[str, AfterValidator(_published)]
    metric: str
    unit: str
    direction: Literal["lower", "higher"]
    value: float
    source: str


class Card(Settings):
    """A third-party method; external/README.md explains the keys."""

    name: str
    paper: str
    code: str | None
    face_model: str
    licence: str
    numbers: list[Number]


def read_card(path: str | Path) -> Card:
    """Read and check a card; RecfaceError names file, line and key of a mistake."""
    return read_settings(Card, path)


def read_cards(folder: str | Path) -> list[Card]:
    """Read all cards of a folder such as external/; none where there is no folder.

    Raises:
        RecfaceError: As `read_card`, or two cards give one column different units or directions.
    """
    cards = {path: read_card(path) for path in sorted(Path(folder).glob("*/card.yaml"))}
    seen: dict[tuple[str, str], tuple[tuple[str, str], Path]] = {}
    for path, card in cards.items():
        for number in card.numbers:
            kind = (number.unit, number.direction)
            first, where = seen.setdefault((number.protocol, number.metric), (kind, path))
            if first != kind:
                raise RecfaceError(f"{path}: {number.protocol} {number.metric} is in {kind}, but in {first} in {where}")
    return list(cards.values())
