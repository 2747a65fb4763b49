"""`recface prepare` and `prepare check`: what they print, and how they end."""

from __future__ import annotations

import pytest
from tests.official.datasets import write_manifest, write_vggface2

from recface.cli.program import main


def test_a_dataset_is_prepared_and_checked(tmp_path, capsys):
    write_vggface2(tmp_path / "VGGFace2")
    store = str(tmp_path / "store")
    arguments = ["prepare", "vggface2", "--raw", str(tmp_path / "VGGFace2"), "--out", store, "--size", "64"]
    assert main([*arguments, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "- kept: 8" in printed and printed.endswith(f"{store}/store.json\n")
    assert main(["prepare", "check", store]) == 0
    assert "splits: test 2, train 6" in (printed := capsys.readouterr().out) and printed.endswith("nothing found\n")


def test_findings_are_lines_and_an_exit_code(tmp_path, capsys):
    write_manifest(tmp_path / "raw")
    (tmp_path / "raw" / "images" / "1.png").write_bytes((tmp_path / "raw" / "images" / "0.png").read_bytes())
    store = str(tmp_path / "store")
    main(["prepare", "manifest", "--raw", str(tmp_path / "raw"), "--out", store, "--size", "64", "--workers", "1"])
    table = tmp_path / "raw" / "faces.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows[:2], rows[1].replace("0.png", "1.png"), *rows[3:], ""]))
    other = str(tmp_path / "other")
    main(["prepare", "manifest", "--raw", str(tmp_path / "raw"), "--out", other, "--size", "64", "--workers", "1"])
    capsys.readouterr()
    assert main(["prepare", "check", other]) == 1
    assert "(0.png) and" in (printed := capsys.readouterr().out) and "(1.png): the same photo twice" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare"], "recface prepare: the following arguments are required: --raw, --out"),
        (["prepare", "vgg", "--raw", "a", "--out", "b"], "recface prepare: no dataset 'vgg': known are vggface2, "),
        (
            ["prepare", "lfw", "--raw", "nowhere", "--out", "b"],
            "recface prepare: nowhere: no such folder; LFW is",
        ),
        (
            ["prepare", "lfw", "--raw", "a", "--out", "b", "--size", "four"],
            "recface prepare: argument --size: must be a whole number from 8 to 1024, not 'four'",
        ),
        (["prepare", "check"], "recface prepare check: the following arguments are required: STORE"),
        (["prepare", "check", "nowhere"], "recface prepare check: nowhere"),
        (["prepare", "check", "a", "a"], "recface prepare check: a store is named twice; name each once"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.replace("\n", "", 1).startswith(said) or said in printed.err
    assert printed.out == ""
