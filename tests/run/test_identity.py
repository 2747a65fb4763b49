"""Hashes of configurations: committed records are found again by those that made them."""

import shutil
from dataclasses import replace

import pytest
from tests.conftest import ROOT

from recface.files.digests import photos_digest
from recface.results.records import find_records
from recface.run.identity import IGNORED, is_complete, run_hash
from recface.settings.compose import compose_config, known_experiments
from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.tracking.record import RunRecord
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
    assert run_hash(RECORDS[key].config) == key[1]


def test_the_converged_rows_are_found_again_by_their_experiments():
    found = {  # the newest, where a search has replaced settings
        record.experiment: record.hash
        for record in sorted(RECORDS.values(), key=lambda record: record.updated)
        if [text for text in record.overrides if not text.startswith(("seed=", "+experiment="))] == ["scale=converged"]
    }
    assert {"baseline", "sir", "sfm"} <= set(found)
    assert {name: run_hash(compose_config(f"+experiment={name}", "scale=converged")) for name in found} == found


def test_there_are_records_of_every_row_of_the_ablation():
    assert {"baseline", "sir", "no_kl", "no_center", "sfm"} <= {experiment for experiment, _ in RECORDS}


def test_what_no_result_depends_on_is_not_hashed():
    assert set(NEVER_HASHED) < set(IGNORED)
    base = compose_config("+experiment=sir")
    watch = ("trainer.validate=true", "trainer.validate_on=[x]", "data.photos=x")
    for override in ("seed=3", "paths.runs=x", "logger=wandb", *watch):
        assert run_hash(compose_config("+experiment=sir", override)) == run_hash(base), override
    for override in ("sir.prior=0.1", "scale.stage2_steps=9", "data.seed=1", "trainer.threads=2"):
        assert run_hash(compose_config("+experiment=sir", override)) != run_hash(base), override


def test_the_content_of_inputs_is_hashed_and_not_their_place(tmp_path):
    def hashed(folder, weights) -> str:
        source = f"+data.sources.mine={{kind: manifest, path: {folder}, share: 0.1}}"
        return run_hash(
            compose_config("+experiment=sir", source, f"model.weights={weights}", f"paths.cache={tmp_path}/c")
        )

    one, other, weights = tmp_path / "one", tmp_path / "other", tmp_path / "w.pt"
    (one / "images").mkdir(parents=True)
    (one / "faces.csv").write_text("file,identity\na.png,anna\n")
    (one / "images" / "a.png").write_bytes(b"a photo")
    weights.write_bytes(b"weights")
    first = hashed(one, weights)
    shutil.copytree(one, other)
    assert hashed(other, weights) == first
    (other / "images" / "a.png").write_bytes(b"another photo")
    (other / "images" / "b.png").write_bytes(b"nobody names it")
    changed = hashed(other, weights)
    assert changed != first
    (other / "faces.csv").write_text("file,identity\na.png,bert\n")
    assert hashed(other, weights) not in (first, changed)
    weights.write_bytes(b"other weights")
    assert hashed(one, weights) != first
    assert hashed(tmp_path / "nowhere", weights) == hashed(tmp_path / "neither", weights)  # the run will say so


def test_files_beside_a_face_model_s_are_hashed_too(tmp_path):
    def hashed() -> list[str]:
        options = [f"face_model.path={path}" for path in (tmp_path, tmp_path / "01_MorphableModel.mat")]
        return [run_hash(compose_config("+experiment=sir", "face_model=bfm2009", option)) for option in options]

    (tmp_path / "01_MorphableModel.mat").write_bytes(b"bases")
    seen = hashed()
    for name in ("Exp_Pca.bin", "landmarks68.csv"):
        (tmp_path / name).write_bytes(b"other")
        seen += hashed()
    assert len(set(seen)) == 6


def test_a_run_whose_photographs_changed_is_not_complete(tmp_path):
    (tmp_path / "faces.csv").write_text("file\na.png\n")
    (tmp_path / "a.png").write_bytes(b"a photo")
    config = compose_config("+experiment=sir", f"data.photos={tmp_path}", f"paths.cache={tmp_path}/cache")
    seen = photos_digest(tmp_path, tmp_path / "cache")
    record = RunRecord("sir", "0", 0, state="finished", versions=VERSIONS, metrics={"photos": {}}, photos_digest=seen)
    assert is_complete(config, record)
    (tmp_path / "a.png").write_bytes(b"another")
    assert not is_complete(config, record)
    assert not is_complete(config, replace(record, metrics={}))
    assert is_complete(config, replace(record, photos_digest=None))  # of a time that noted none
