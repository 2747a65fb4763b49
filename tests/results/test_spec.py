"""Table YAMLs: mistakes are named with file, line and key; rows follow from experiments."""

import pytest
import yaml
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.results.spec import read_spec
from recface.settings.compose import ExperimentRow

RIGHT = {
    "name": "t",
    "title": "T",
    "blocks": [{"name": "x", "metrics": "benchmark"}],
    "rows": [{"experiment": "a"}],
    "columns": [{"metric": "m"}],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nonsense": 1}, "line 10: nonsense is an unknown key"),
        ({"rows": [{"title": "x"}]}, "line 7: rows.0.experiment is missing"),
        ({"rows": [{"experiment": "a", "parent": "b"}]}, "line 8: rows.0.parent must be a row, not 'b'; known are a"),
        (
            {"rows": [{"experiment": "a", "select": {"x": 1}}]},
            "line 8: rows.0.select needs `of`, the experiment whose runs it selects",
        ),
        ({"experiment": "b", "rows": [{"experiment": "a", "of": "c"}]}, "line 8: rows.0.of needs rows that are exper"),
        ({"columns": [{"metric": "m", "direction": "up"}]}, "columns.0.direction must be '', 'lower' or 'higher'"),
        ({"columns": [{"metric": "m", "digits": -1}]}, "columns.0.digits must be a whole number >= 0, not -1"),
        ({"columns": ["m"]}, "columns.0 must be a mapping"),
        (
            {"blocks": [{"name": "x", "metrics": "y", "columns": ["z"]}]},
            "blocks.0.columns must be columns of the table",
        ),
        ({"imported": "b"}, "imported must be a row, not 'b'"),
        ({"figure": {"x": "z", "y": "m"}}, "figure.x must be a column, not 'z'"),
        (
            {"columns": [{"metric": "m", "equal": {"value": "m", "metric": "m", "row": "a"}}]},
            "columns.0.equal.value must be a column with a direction, not 'm'",
        ),
        (
            {
                "columns": [
                    {"metric": "m", "direction": "lower"},
                    {"metric": "n", "equal": {"value": "m", "metric": "m", "row": "z"}},
                ]
            },
            "columns.1.equal.row must be a row, not 'z'; known are a",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, change, words):
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(RIGHT, sort_keys=False))
    assert read_spec(path).name == "t"
    path.write_text(yaml.safe_dump(RIGHT | change, sort_keys=False))
    with pytest.raises(RecfaceError) as raised:
        read_spec(path)
    assert str(raised.value).startswith(f"{path}: line ") and words in str(raised.value)


def test_experiments_that_name_a_table_follow_its_rows(tmp_path):
    rows = [{"experiment": "b", "parent": None}, {"experiment": "a", "title": "Other"}, {"experiment": "other"}]
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(RIGHT | {"rows": rows}))
    experiments = [
        ExperimentRow("a", "A", None, ("t",)),
        ExperimentRow("b", "B", "a", ()),
        ExperimentRow("c", "C", "b", ("t", "u")),
        ExperimentRow("d", "D", "elsewhere", ("t",)),
        ExperimentRow("e", "E", "a", ("u",)),
    ]
    found = [(row.experiment, row.title, row.parent) for row in read_spec(tmp_path / "t.yaml", experiments).rows]
    assert found == [("b", "B", None), ("a", "Other", None), ("other", "", None), ("c", "C", "b"), ("d", "D", None)]


def test_the_ablation_has_the_rows_of_the_papers():
    spec = read_spec(ROOT / "configs" / "table" / "ablation.yaml")
    parents = {row.experiment: row.parent for row in spec.rows}
    papers = {"baseline": None, "sir": "baseline", "no_kl": "sir", "no_center": "sir", "sfm": "sir"}
    ours = {"center_whitened": "sir", "prototypes": "sir", "supervised": "baseline"}
    assert parents == papers | ours
    assert len({column.metric for column in spec.columns} & {"rank1", "truth_rank1"}) == 1  # one number
