"""The command line of src/external.py: photos out, meshes in, and its one-line mistakes."""

import runpy

import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ROOT / "src" / "external.py"))["main"]


def test_photos_go_out_and_meshes_come_back(main, face_model, benchmark, cache_dir, tmp_path, capsys):
    cache = f"paths.cache={cache_dir}"
    assert main(["export", str(tmp_path / "photos"), "scale=smoke", cache]) == 0
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
    assert main(["register", str(meshes), str(tmp_path / "landmarks.txt"), str(out), cache]) == 0
    assert "distance to the meshes: median 0.00 mm" in capsys.readouterr().out
    np.testing.assert_allclose(np.load(out / "vertices.npy")[1], face_model.mean, atol=0.05)  # size was free
    assert pd.read_csv(out / "registration.csv")["id"].tolist() == ids


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export"], "expected `export DIR`"),
        (["register", "a", "b"], "expected `export DIR` or `register"),
        (["register", "a", "b", "c", "bigger"], "expected `export DIR` or `register"),
        (["register", "a", "nowhere.txt", "c"], "nowhere.txt: not a list of 68 whole numbers"),
        (["export", "a", "+nothing=1"], "no configuration key 'nothing'"),
        (["sing"], "expected `export DIR`"),
    ],
)
def test_mistakes_are_one_line(main, arguments, says, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("external.py: ") and says in error and error.count("\n") == 1


def test_help_is_given(main, capsys):
    assert main(["--help"]) == 0 and "register MESHES LANDMARKS OUT" in capsys.readouterr().out
    assert main([]) == 1
