"""Hashes of configurations: committed records are found again by those that made them."""

import pytest
from tests.conftest import ROOT

from recface.results.records import find_records
from recface.run.identity import IGNORED, run_hash
from recface.settings.compose import compose_config, known_experiments
from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.versions import VERSIONS

RECORDS = {
    (entry.record.experiment, entry.record.hash): entry.record
    for entry in find_records(ROOT / "none", ROOT / "results" / "records")
    if entry.record.experiment in known_experiments()
    and entry.record.versions == VERSIONS
    and entry.record.config["face_model"]["name"] == "makehuman"  # another's file is part of the hash
}


@pytest.mark.parametrize("key", sorted(RECORDS), ids="-".join)
def test_committed_records_have_the_hash_of_their_configuration(key):
    experiment, digest = key
    overrides = [text for text in RECORDS[key].overrides if "experiment=" not in text]
    assert run_hash(compose_config(f"+experiment={experiment}", *overrides)) == digest


def test_there_are_records_of_every_row_of_the_ablation():
    assert {"baseline", "sir", "no_kl", "no_center", "sfm"} <= {experiment for experiment, _ in RECORDS}


def test_what_no_result_depends_on_is_not_hashed():
    assert set(NEVER_HASHED) < set(IGNORED)
    base = compose_config("+experiment=sir")
    for override in ("seed=3", "paths.runs=x", "data.photos=x", "trainer.validate=true", "logger=wandb"):
        assert run_hash(compose_config("+experiment=sir", override)) == run_hash(base), override
    for override in ("sir.prior=0.1", "scale.stage2_steps=9", "data.seed=1", "trainer.threads=2"):
        assert run_hash(compose_config("+experiment=sir", override)) != run_hash(base), override
