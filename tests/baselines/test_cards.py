"""Cards of methods that did not run here."""

import pytest
from tests.conftest import ROOT

from recface.baselines.cards import read_card, read_cards
from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS

CARD = """
name: A method
paper: Its paper
code: null
face_model: FLAME
licence: unknown
numbers:
  - {protocol: "published:bench/one", metric: mean, unit: mm, direction: lower, value: 1.5, source: its page}
"""


def test_protocols_of_cards_are_none_of_the_suites():
    ours = {protocol.id for protocol in (*PROTOCOLS.values(), *PHOTO_PROTOCOLS.values())} | set(BENCHMARKS)
    theirs = {number.protocol for card in read_cards(ROOT / "external") for number in card.numbers}
    assert theirs and not ours & theirs and not any(name.startswith("published:") for name in ours)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("published:bench/one", "nme-68-box/v1", "line 8: numbers.0.protocol must begin with 'published:'"),
        ("value: 1.5", "value: many", "line 8: numbers.0.value must be a number, not 'many'"),
        ("direction: lower", "direction: up", "line 8: numbers.0.direction must be 'lower' or 'higher', not 'up'"),
        ("licence: unknown\n", "", "licence is missing"),
        ("unit: mm", "units: mm", "numbers.0.units is an unknown key"),
        ("name: A method", "name: [", "not a readable YAML file"),
        ("name: A method", "name: A method\nname: B", "line 3: name is given twice"),
    ],
)
def test_a_wrong_card_is_named(tmp_path, old, new, says):
    path = tmp_path / "card.yaml"
    path.write_text(CARD.replace(old, new))
    with pytest.raises(RecfaceError) as raised:
        read_card(path)
    assert str(raised.value).startswith(f"{path}: ") and says in str(raised.value)


def test_two_units_under_one_protocol_are_an_error(tmp_path):
    for name, unit in (("one", "mm"), ("two", "cm")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.yaml").write_text(CARD.replace("unit: mm", f"unit: {unit}"))
    with pytest.raises(RecfaceError, match="published:bench/one mean is in"):
        read_cards(tmp_path)
