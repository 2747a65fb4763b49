"""`recface doctor`: a line for everything, and the exit code that says whether anything runs."""

import pytest

from recface.cli import doctor_command
from recface.cli.program import main


def test_a_whole_environment_is_told_in_one_line_each(capsys, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "01_MorphableModel.mat").touch()
    (tmp_path / "deep" / "generic_neutral_mesh.obj").touch()
    monkeypatch.setenv("RECFACE_DATA", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok ", "-  ")) for line in lines)
    found = {line.split()[1]: line for line in lines}
    assert f"face_model=bfm2009 face_model.path={tmp_path}/deep/01_MorphableModel.mat" in found["bfm2009"]
    assert f"face_model=ict face_model.path={tmp_path}/deep/generic_neutral_mesh.obj" in found["ict"]
    assert "ask at" in found["flame2020"] and found["W&B"].endswith("logged in")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("loss.pixl=1", "no configuration key 'loss.pixl'"),
        ("data.photos=/nowhere", "/nowhere is missing"),
        ("trainer.devices=none", "trainer.devices"),
    ],
)
def test_a_configuration_that_cannot_run_is_to_be_fixed(capsys, override, expected):
    assert main(["doctor", override]) == 1
    assert any(line.startswith("FIX") and expected in line for line in capsys.readouterr().out.splitlines())


def test_a_check_that_breaks_is_a_finding(monkeypatch, capsys):
    def broken():
        raise ImportError("undefined symbol")
        yield

    monkeypatch.setattr(doctor_command, "renderer", broken)
    assert main(["doctor"]) == 1
    assert "FIX broken" in capsys.readouterr().out


def test_little_room_is_told(monkeypatch):
    usage = doctor_command.shutil.disk_usage(".")._replace(free=10**8)
    monkeypatch.setattr(doctor_command.shutil, "disk_usage", lambda path: usage)
    disk = next(doctor_command.room())
    assert disk.value == "0 GB free" and "10 GB" in disk.step
