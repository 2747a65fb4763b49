import json
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version

import pytest

from recface.errors import RecfaceError
from recface.tracking import RunRecord, git_state, new_record, package_versions, read_record, write_record


def test_record_survives_the_disk(tmp_path):
    record = new_record("sir", "0123abcd", 1, {"seed": 1}, parent="baseline", versions={"benchmark": 2})
    record.metrics = {"benchmark": {"sir": 0.5}}
    write_record(tmp_path / "run.json", record)
    assert read_record(tmp_path / "run.json") == record
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # no temporary file stays


def test_new_record_names_packages_and_commit():
    record = new_record("sir", "0123abcd", 1, {})
    assert record.packages["numpy"] == version("numpy")
    assert set(record.git) == {"commit", "dirty"}
    assert record.state == "running"
    assert record.started == record.updated


def test_git_state_sees_a_change_but_not_in_results(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_state(tmp_path) == {"commit": None, "dirty": False}
    git("init")
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/table.md"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    (tmp_path / "results/table.md").write_text("2")
    assert not git_state(tmp_path)["dirty"]
    (tmp_path / "code.py").write_text("2")
    assert git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_package_versions_leaves_out_what_is_not_installed():
    assert package_versions(("numpy", "no-such-package")) == {"numpy": version("numpy")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a readable run record"),
        ("[]", "must be a JSON object, not a list"),
        ("{}", "lacks experiment, hash, seed, state"),
        ({"seed": "1"}, "seed of the run record must be"),
        ({"seed": True}, "seed of the run record must be"),
        ({"metrics": []}, "metrics of the run record must be"),
        ({"state": "lost"}, "'lost'"),
    ],
)
def test_broken_records_are_named_in_one_line(tmp_path, content, words):
    path = tmp_path / "run.json"
    whole = asdict(RunRecord("sir", "0123abcd", 0))
    path.write_text(content if isinstance(content, str) else json.dumps(whole | content))
    with pytest.raises(RecfaceError) as caught:
        read_record(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_record_is_named(tmp_path):
    with pytest.raises(RecfaceError, match="no run record"):
        read_record(tmp_path / "run.json")


def test_unknown_fields_are_left_out(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(asdict(RunRecord("sir", "0123abcd", 0)) | {"from_the_future": 1}))
    assert read_record(path) == RunRecord("sir", "0123abcd", 0)


def test_names_of_earlier_records_are_read_as_todays(tmp_path, monkeypatch):
    renamed = {
        "config.sir.scale": "config.sir.softmax_scale",
        "config.peer": "config.baselines",
        "versions.peer": "versions.baselines",
    }
    monkeypatch.setattr("recface.tracking.record.RENAMED", renamed)
    record = RunRecord("sir", "0123abcd", 0)
    record.config = {"sir": {"scale": 16.0, "center": 0.1}, "scale": {"name": "small"}, "peer": {"method": "fit"}}
    record.overrides = ["sir.scale=8", "~sir.scale", "++peer.method=eos", "+peer=fit", "scale=smoke", "sir.scale_up=1"]
    record.versions = {"benchmark": 1, "peer": 1}
    write_record(tmp_path / "run.json", record)
    found = read_record(tmp_path)
    assert found.config == {
        "sir": {"softmax_scale": 16.0, "center": 0.1},
        "scale": {"name": "small"},
        "baselines": {"method": "fit"},
    }
    assert found.overrides == [
        "sir.softmax_scale=8",
        "~sir.softmax_scale",
        "++baselines.method=eos",
        "+baselines=fit",
        "scale=smoke",
        "sir.scale_up=1",
    ]
    assert found.versions == {"benchmark": 1, "baselines": 1}
    write_record(tmp_path / "run.json", found)
    assert read_record(tmp_path) == found  # today's names stay


def test_a_record_without_the_renamed_keys_is_read_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("recface.tracking.record.RENAMED", {"config.sir.scale": "config.sir.softmax_scale"})
    write_record(tmp_path / "run.json", RunRecord("baseline", "0123abcd", 0, config={"sir": None}))
    assert read_record(tmp_path).config == {"sir": None}


def test_protocol_is_by_metric_or_by_block():
    flat = RunRecord("sir", "h", 0, protocols={"nme": "nme/v1"})
    assert flat.protocol("benchmark", "nme") == "nme/v1"
    nested = RunRecord("sir", "h", 0, protocols={"benchmark": {"nme": "nme/v1"}, "photos": {"nme": "nme/v2"}})
    assert nested.protocol("photos", "nme") == "nme/v2"
    assert nested.protocol("photos", "sir") == ""


def test_nothing_here_imports_torch():
    code = (
        "import sys, recface.tracking, recface.results.build, recface.sweeps.runner, recface.sweeps.display;"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
