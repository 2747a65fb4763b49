import re

import pytest
from tests.conftest import ROOT
from tests.results import synthetic

CONFIGS = ROOT / "configs" / "table"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(runs, results) with four rows of the ablation, three seeds, archived."""
    folder = tmp_path_factory.mktemp("made")
    synthetic.make_all(folder / "runs", folder / "results")
    return folder / "runs", folder / "results"


@pytest.fixture(scope="session")
def table_configs(tmp_path_factory):
    """A folder with the project's own ablation table alone, but for the pictures of predictions, which take seconds."""
    folder = tmp_path_factory.mktemp("project") / "configs" / "table"
    folder.mkdir(parents=True)
    (folder / "ablation.yaml").write_text(re.sub(r", predictions: \[.*\]", "", (CONFIGS / "ablation.yaml").read_text()))
    return folder
