import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.results.explain import explain
from recface.results.markdown import p_value
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.table import build

ENTRY = ROOT / "src" / "tables.py"


def test_command_line_names_the_runs_of_a_cell_from_the_archive_alone(made, table_configs):
    results = made[1]
    command = [sys.executable, str(ENTRY), "--configs", str(table_configs), "--results", str(results), "--runs", "none"]
    done = subprocess.run(
        [*command, "--explain", "sir", "geometry_auc"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    cell = build(read_spec(table_configs / "ablation.yaml"), find_records(*made)).blocks[0]
    value, difference = cell.cells["sir", "geometry_auc"], cell.differences["sir", "geometry_auc"]
    text = done.stdout
    assert f"value       {value.mean:.3f} ± {value.error:.3f}" in text
    assert "geometry-auc/v1, no unit, higher is better" in text
    for seed, number in value.per_seed.items():
        path = results / "records" / f"sir-sir-mak-seed{seed}.json"
        expected = rf"seed {seed} +{number:.4f}  {re.escape(str(path))}, hash sir-mak, commit aaaaaaaa, \d{{4}}-"
        assert re.search(expected, text), seed
    assert "parent      baseline" in text and "hash base-mak" in text
    assert "config      loss.noise: 1.2 -> 0.6" in text
    assert f"{difference.value:+.4f}, 95% interval {difference.test.low:+.4f} to {difference.test.high:+.4f}" in text
    assert f"P(better)   {difference.better:.3f}" in text and "20 people" in text
    assert f"over the 3 rows compared in this column {p_value(difference.holm)}: better than the parent" in text
    assert "also in     --table ablation --block photos" in text
    unknown = subprocess.run([*command, "--explain", "nobody", "geometry_auc"], capture_output=True, text=True)
    assert unknown.returncode == 1
    rows = "baseline, sir, no_kl, no_center, center_whitened, sfm, prototypes, supervised"
    assert unknown.stderr == f"recface tables: unknown row nobody; rows are {rows}\n"
    alone = subprocess.run([*command, "--block", "photos"], capture_output=True, text=True)
    assert alone.returncode == 1 and alone.stderr.count("\n") == 1


def test_runs_are_named_by_their_folder(made, table_configs):
    text = explain(table_configs, made[0], "none", "baseline", "nme", block="ict")
    assert f"{made[0]}/baseline/base-ict/seed=0, hash base-ict" in text
    assert "unit %, lower is better" in text and "parent      none" in text


def test_seeds_alone_and_targets_are_told(made, table_configs):
    text = explain(table_configs, *made, "no_kl", "geometry_acc")
    assert "Student's t over per-seed differences" in text and "over pairs of seeds alone" in text
    text = explain(table_configs, "none", "none", "sir", "param_energy")
    assert "no finished run: recface sweep sweeps/converged.yaml" in text
    assert "share no seed with a value" in text


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (("sir", "beauty"), "unknown column beauty; columns beside row sir are shape_error_mm, nme, "),
        (("sir", "nme", "beauty"), "unknown table beauty; tables are ablation"),
        (("sir", "beauty", "ablation"), "unknown column beauty; columns of table ablation are shape_error_mm, "),
        (("eve", "nme", "ablation"), "unknown row eve; rows of table ablation are baseline, "),
        (
            ("sir", "nme", None, "beauty"),
            "unknown block beauty; blocks of table ablation with column nme are embedded, ict, photos",
        ),
    ],
)
def test_mistakes_list_what_is_known(made, table_configs, cell, words):
    with pytest.raises(RecfaceError, match=re.escape(words)):
        explain(table_configs, *made, *cell)


def test_no_tables_is_one_line(tmp_path):
    with pytest.raises(RecfaceError, match="no table YAML here"):
        explain(Path(tmp_path), "none", "none", "sir", "nme")
