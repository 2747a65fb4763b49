"""The walk-through of docs/paper_scale.md on miniatures of the official folders, from raw downloads to numbers."""

import json

import pytest
from tests.official_layouts import write_trial

from recface.cli.program import main
from recface.run.experiment import run_experiment
from recface.settings.compose import compose_config


@pytest.mark.slow
def test_from_official_downloads_to_numbers_of_three_benchmarks(tmp_path, cache_dir, monkeypatch):
    pytest.importorskip("facenet_pytorch")
    monkeypatch.chdir(tmp_path)
    write_trial(tmp_path, cache_dir)
    for name, raw in (("vggface2", "VGGFace2"), ("300w_lp", "300W_LP")):
        assert main(["prepare", name, "--raw", raw, "--out", f"store/{name}", "--size", "32", "--workers", "1"]) == 0
    places = ["face_model.path=BFM", "data.sources.identity.path=store/vggface2", f"paths.cache={cache_dir}"]
    places += ["data.sources.landmark.path=store/300w_lp", "data.workers=0"]
    config = compose_config("+experiment=sir", "scale=smoke", "face_model=bfm2009", "data=paper", *places)
    run = run_experiment(config).path
    assert (run / "checkpoints" / "final.pt").is_file()
    for layout, data, number, least in (
        ("aflw2000", "AFLW2000", "nme_balanced", 0.0),
        ("lfw", "LFW", "accuracy", 0.3),
        ("now", "NoW", "median", 0.0),
    ):
        where = ["--data", data, "--run", str(run), "--predictions", f"predicted/{layout}", "--allow-missing"]
        assert main(["evaluate", "--layout", layout, *where, "--json", f"{layout}.json"]) == 0
        report = json.loads((tmp_path / f"{layout}.json").read_text())
        assert least < report["values"][number] < 100
    # Landmarks found their way back to the pixels of the original photos: a tenth of the face is far from a miss.
    assert json.loads((tmp_path / "aflw2000.json").read_text())["values"]["nme"] < 20
