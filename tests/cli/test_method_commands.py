"""`recface baselines export`, `baselines register` and `scans`: photos out, meshes in, and one-line mistakes."""

import numpy as np
import pandas as pd
import pytest

from recface.cli import method_commands
from recface.cli.program import main


def test_photos_go_out_and_meshes_come_back(face_model, benchmark, cache_dir, tmp_path, capsys):
    cache = f"paths.cache={cache_dir}"
    assert main(["baselines", "export", str(tmp_path / "photos"), "scale=smoke", cache]) == 0
    table = pd.read_csv(tmp_path / "photos" / "photos.csv")
    assert len(table) == len(list((tmp_path / "photos" / "images").glob("*.png"))) > 0
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    ids = table["id"][:2].tolist()
    np.save(meshes / "vertices.npy", face_model.mean.numpy()[None].repeat(2, 0) * 1.1)
    np.save(meshes / "triangles.npy", face_model.triangles.numpy())
    pd.DataFrame({"id": ids}).to_csv(meshes / "ids.csv", index=False)
    (tmp_path / "landmarks.txt").write_text(" ".join(map(str, face_model.landmarks68.tolist())))
    capsys.readouterr()
    out = tmp_path / "external" / "mine" / "predictions"
    assert main(["baselines", "register", str(meshes), str(tmp_path / "landmarks.txt"), str(out), cache]) == 0
    assert "distance to the meshes: median 0.00 mm" in capsys.readouterr().out
    np.testing.assert_allclose(np.load(out / "vertices.npy")[1], face_model.mean, atol=0.05)  # size was free
    assert pd.read_csv(out / "registration.csv")["id"].tolist() == ids


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["baselines", "export"], "recface baselines export: the following arguments are required: DIR"),
        (["baselines", "register", "a", "b"], "recface baselines register: the following arguments are required: OUT"),
        (["baselines", "register", "a", "b", "c", "bigger"], "recface baselines register: unexpected 'bigger'"),
        (["baselines", "register", "a", "nowhere.txt", "c"], "recface baselines register: nowhere.txt: "),
        (["baselines", "export", "a", "+nothing=1"], "recface baselines export: no configuration key 'nothing'"),
        (["baselines", "sing"], "recface baselines: no baseline 'sing'"),
        (["scans", "eos", "a.npz"], "recface scans eos: the following arguments are required: BIN"),
        (["scans", "seed=a"], "recface scans: seed must be a whole number from 0 to 4294967295, not 'a'"),
        (["scans", "seed=0,one"], "recface scans: seed must be a whole number from 0 to 4294967295, not 'one'"),
        (
            ["scans", "learn", "sfm.scan.people=0"],
            "recface scans learn: sfm.scan.people must be a whole number",
        ),
        (["scans", "sfm.scan.peple=3"], "recface scans: no configuration key 'sfm.scan.peple'"),
        (
            ["scans", "evaluate", "sfm_model.samples=0"],
            "recface scans evaluate: sfm_model.samples must be",
        ),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(method_commands, "learn_scan_model", lambda config: "started")
    monkeypatch.setattr(method_commands, "measure_scan_models", lambda config: "started")
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(said) and printed.err.count("\n") == 1 and printed.out == ""


def test_scans_are_learned_and_measured_for_each_seed(capsys, monkeypatch):
    monkeypatch.setattr(method_commands, "learn_scan_model", lambda config: f"learn {config['seed']}")
    monkeypatch.setattr(method_commands, "measure_scan_models", lambda config: f"measure {config['seed']}")
    assert (
        main(["scans", "seed=0,2"]) == 0
        and main(["scans", "learn"]) == 0
        and main(["scans", "evaluate", "seed=1"]) == 0
    )
    assert capsys.readouterr().out == "learn 0\nlearn 2\nlearn 0\nmeasure 1\n"
