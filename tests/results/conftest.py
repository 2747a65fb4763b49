import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "table"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(runs, results) with every row of the ablation, three seeds, archived."""
    folder = tmp_path_factory.mktemp("made")
    synthetic.make_all(folder / "runs", folder / "results")
    return folder / "runs", folder / "results"


@pytest.fixture(scope="session")
def table_configs(tmp_path_factory):
    """The project's own ablation table, with fewer replicates."""
    folder = tmp_path_factory.mktemp("table")
    text = (CONFIGS / "ablation.yaml").read_text()
    assert "replicates: 2000" in text
    (folder / "ablation.yaml").write_text(text.replace("replicates: 2000", "replicates: 200"))
    return folder
