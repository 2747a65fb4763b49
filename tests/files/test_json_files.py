"""JSON objects and lines: whole ones are read, others are named."""

import pytest

from recface.errors import RecfaceError
from recface.files.atomic import append_json_line
from recface.files.json_files import read_json, read_json_lines


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"a": 1', '{"a": 1} x', "{'a': 1}", "[" * 100_000, b"\xff\xfe{}", "\0"]
)
def test_json_that_is_no_object_is_refused(tmp_path, text) -> None:
    with pytest.raises(RecfaceError, match=r"a\.json: not a readable run record .*; remove it$") as caught:
        read_json(written(tmp_path / "a.json", text), "run record", "remove it")
    assert len(str(caught.value).splitlines()) == 1


def test_json_lines(tmp_path) -> None:
    path = written(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 3')
    assert [row["a"] for row in read_json_lines(path)] == [1, 2]  # the last was not finished
    append_json_line(path, {"a": 4})
    assert [row["a"] for row in read_json_lines(path)] == [1, 2, 4]
    for wrong, said in (('{"a": 1}\nx\n', "line 2: "), ("{}\n[1]\n", "line 2 must be"), ("{}\n\n{}\n", "line 2: ")):
        with pytest.raises(RecfaceError, match=f"{said}.*; remove the line$"):
            read_json_lines(written(tmp_path / "a.jsonl", wrong))
