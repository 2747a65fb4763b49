import io

import numpy as np
import pytest
from PIL import Image

from recface.figures.plots import COLORS, COLUMN, MARKERS, PAGE, Panel, Series, draw_panels

DOTS = Series("a", 0, np.array([1.0, 2.0]), np.array([3.0, 1.0]), (1.5, 2.0), (0.1, None))
LINE = Series("b", 1, np.array([1, 2]), np.array([[1.0, 10.0], [2.0, 20.0]]), names=("low", "high"))


def test_files_are_the_same_bytes_for_the_same_data_and_hold_no_date():
    rows = [[Panel("left", "x", "y", [DOTS], ("mean face", 4.0)), Panel("right", "x", "y", [LINE], log="y")]]
    found = draw_panels(rows, "text")
    assert found == draw_panels(rows, "text")
    assert found["png"].startswith(b"\x89PNG") and found["pdf"].startswith(b"%PDF")
    assert not any(word in found["pdf"] for word in (b"CreationDate", b"Producer", b"/Type3"))


@pytest.mark.parametrize(("columns", "width"), [(1, COLUMN), (3, PAGE)])
def test_figures_are_as_wide_as_columns_of_a_paper(columns, width):
    panel = Panel("t", "x", "y", [LINE], markers=True)
    image = Image.open(io.BytesIO(draw_panels([[panel] * columns])["png"]))
    assert image.width == pytest.approx(200 * width, abs=1)


def luminances(image):
    """Distinct colors of a picture that cover more than their edges."""
    colors = Image.open(io.BytesIO(image)).convert("RGB").getcolors(1 << 24)
    return {color for count, color in colors if count > 40}


def test_every_color_and_marker_is_drawn_as_listed():
    """Ten rows differ by color or marker, as ten people of a map must."""
    series = [Series("", k, np.full(3, float(k)), np.arange(3.0)) for k in range(10)]
    drawn = luminances(draw_panels([[Panel("", "", "", series, map=True)]])["png"])
    assert {tuple(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in COLORS} <= drawn
    assert len({(k % len(COLORS), k % len(MARKERS)) for k in range(10)}) == 10
