from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from recface.results.curves import PANELS, SMOOTHED, block_curves, draw_curves


class Stored:
    """An entry that stored curves of a number of looks, or none."""

    def __init__(self, looks, level):
        self.looks, self.level = looks, level

    def arrays(self):
        if not self.looks:
            return {}
        steps = 5.0 * np.arange(self.looks)
        return {"conflict_step": steps} | {name: self.level + 0.1 * steps for name in PANELS}


def block(**finished):
    runs = SimpleNamespace(finished={name: dict(enumerate(found)) for name, found in finished.items()})
    return SimpleNamespace(runs=runs, block=SimpleNamespace(name="embedded"))


def test_curves_are_moving_averages_by_seed_and_rows_without_any_are_left_out():
    found = block_curves(block(sfm=[Stored(20, 1.0), Stored(18, 3.0)], sir=[Stored(0, 0.0)]))
    assert list(found) == ["sfm"]
    steps, values = found["sfm"]["steps"], found["sfm"]["conflict_cosine"]
    assert values.shape == (2, 18 - SMOOTHED + 1) and steps[0] == 5 * (SMOOTHED - 1) / 2
    assert values == pytest.approx(np.stack([1 + 0.1 * steps, 3 + 0.1 * steps]))  # lines stay lines


def test_a_figure_is_drawn_where_there_is_something_to_draw(tmp_path):
    spec = SimpleNamespace(rows=[SimpleNamespace(experiment="sfm", title="SFM")])
    assert draw_curves(SimpleNamespace(spec=spec, blocks=[block(sfm=[Stored(0, 0)])])) is None
    picture = draw_curves(SimpleNamespace(spec=spec, blocks=[block(sfm=[Stored(9, 0), Stored(9, 1)])]))
    (tmp_path / "curves.png").write_bytes(picture)
    width, height = Image.open(tmp_path / "curves.png").size
    assert width > 2 * height > 0
