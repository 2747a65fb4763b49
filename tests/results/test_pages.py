"""The index of results/, and the page of published numbers that stay out of the tables."""

from tests.conftest import ROOT

from recface.baselines.cards import read_cards
from recface.results.pages import published_columns, to_index, to_published


def test_published_numbers_stand_each_under_their_protocol():
    cards = read_cards(ROOT / "external")
    page = to_published(cards)
    for protocol, metrics in published_columns(cards).items():
        section = page.split(f"## `{protocol}`")[1].split("\n## ")[0]
        elsewhere = {number.protocol for by in metrics.values() for number in by.values()}
        assert elsewhere == {protocol}
        for metric, by in metrics.items():
            assert metric in section and all(f"| {name}" in section for name in by)


def test_the_best_is_listed_first():
    page = to_published(read_cards(ROOT / "external"))
    section = page.split("## `published:now-challenge/non-metrical-test`")[1].split("Source:")[0]
    first_values = [float(line.split("|")[2]) for line in section.strip().splitlines()[2:]]
    assert first_values == sorted(first_values)


def test_the_index_lists_the_page_of_published_numbers():
    assert "(published.md)" in to_index([], {}, True)
    assert "Other pages" not in to_index([], {})
