import csv
import re

import pytest
from tests.conftest import ROOT

ROWS = {
    "baseline": "baseline",
    "SIR": "sir",
    "SIR w/o prior": "no_kl",
    "SIR w/o centre": "no_center",
    "SFM": "sfm",
    "SFM w/o sphere": "sfm_no_sphere",
}
METRICS = ["shape_error_mm", "param_auc", "geometry_auc", "nmcd_geometry", "prior_kl"]


@pytest.mark.parametrize("title", ROWS)
def test_readme_prints_what_the_results_say(title):
    line = re.search(rf"^\| {re.escape(title)} \|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = [float(cell) for cell in line.group(1).split("|")]
    with open(ROOT / "results" / "ablation.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["block"] == "embedded" and row["experiment"] == ROWS[title]]
    assert shown == [float(rows[0][metric]) for metric in METRICS]


def test_readme_says_of_methods_that_are_given_landmarks_what_the_comparison_says():
    text = " ".join((ROOT / "README.md").read_text().split())
    with open(ROOT / "results" / "comparison.csv") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file) if row["block"] == "embedded"}
    noisy, fitted, exact = rows["eos_noisy"], rows["fit_noisy"], rows["fit"]
    assert (
        f"eos reaches {noisy['shape_error_mm']} mm and an AUC of {noisy['geometry_auc']}, a fit by synthesis "
        f"{fitted['shape_error_mm']} mm and {fitted['geometry_auc']}; with exact ones the fit reaches "
        f"{exact['shape_error_mm']} mm"
    ) in text


def test_readme_says_of_the_separation_s_scale_what_the_table_says():
    text = " ".join((ROOT / "README.md").read_text().split())
    with open(ROOT / "results" / "convergence.csv") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    soft = rows["sir_s8"]
    assert (
        f"the geometry AUC is {soft['geometry_auc']}, the shape error {soft['shape_error_mm']} mm, and the cosine to "
        f"the truth *rises* ({rows['baseline']['truth_cosine']} to {soft['truth_cosine']})"
    ) in text
    assert float(rows["sir_s64"]["shape_error_mm"]) > float(rows["baseline"]["shape_error_mm"])
