"""CSV files of users: every cell is text, and what is wrong is named with the file's own line."""

import pytest

from recface.errors import RecfaceError
from recface.files.tables import line_of, read_table

COLUMNS = ("id", "file")


def read(tmp_path, content, columns=COLUMNS):
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(tmp_path / "a.csv", columns, "a test")


@pytest.mark.parametrize(
    "text",
    [
        "id,file\n01,a b\nNA,nan\n",
        "\ufeffid,file\n01,a b\nNA,nan",
        "id,file\r\n01,a b\r\nNA,nan\r\n",
        'id, file\n"01", "a b"\n\n   \nNA, nan\n\n',
    ],
)
def test_cells_stay_text(tmp_path, text) -> None:
    table = read(tmp_path, text)
    assert table.to_dict("list") == {"id": ["01", "NA"], "file": ["a b", "nan"]}


def test_other_columns_may_be_empty_and_come_along(tmp_path) -> None:
    table = read(tmp_path, "note,file,id\n,a,1\nx,b,2\n")
    assert table["note"].tolist() == ["", "x"] and table["id"].tolist() == ["1", "2"]


def test_lines_are_the_files_own(tmp_path) -> None:
    table = read(tmp_path, 'id,file\n\n1,"a\nb"\n2,c\n\n3,d\n')
    assert [line_of(table, row) for row in range(3)] == [3, 5, 7]
    assert [line_of(table[[False, True, True]], row) for row in range(2)] == [5, 7]


BAD = {
    "no column": ("id,name\n1,a\n", "no column file; a test needs id, file"),
    "no column, empty file": ("", "no column id"),
    "a column twice": ("id,file,id\n1,a,2\n", "column id is there twice"),
    "no rows": ("id,file\n", "no rows"),
    "no rows but empty lines": ("id,file\n\n\n", "no rows"),
    "empty cell": ("id,file\n1,a\n2,\n", "line 3: file is empty"),
    "cell of spaces": ("id,file\n1,a\n  ,b\n", "line 3: id is empty"),
    "empty cell after a byte order mark": ("\ufeffid,file\n1,a\n,b\n", "line 3: id is empty"),
    "empty cell with Windows line ends": ("id,file\r\n1,a\r\n,b\r\n", "line 3: id is empty"),
    "empty cell after empty lines": ("\nid,file\n\n1,a\n\n,b\n", "line 6: id is empty"),
    "empty cell after a cell of two lines": ('id,file\n"1\n1",a\n,b\n', "line 4: id is empty"),
    "only commas": ("id,file\n1,a\n,\n", "line 3: id is empty"),
    "short row": ("id,file\n1,a\n2\n", "line 3: file is empty"),
    "long row": ("id,file\n1,a,b\n", "line 2: 3 cells under 2 columns"),
    "open quote": ('id,file\n"1,a\n', "not a readable CSV"),
    "another encoding": (b"id,file\n\xe9,a\n", "not a readable CSV"),
    "an image": (bytes(range(256)), "not a readable CSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(tmp_path, case) -> None:
    content, said = BAD[case]
    with pytest.raises(RecfaceError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.csv'}: {said}") and "\n" not in message


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(RecfaceError, match="none.csv: no such file; a test needs a CSV with the columns id, file$"):
        read_table(tmp_path / "none.csv", COLUMNS, "a test")
    with pytest.raises(RecfaceError, match="it is a folder"):
        read_table(tmp_path, COLUMNS)


def test_of_many_columns_some_are_named(tmp_path) -> None:
    columns = [f"true_{number}" for number in range(1, 41)]
    with pytest.raises(RecfaceError, match="no column true_1; a test needs true_1, .*true_6, ..., true_40$"):
        read(tmp_path, "id\n1\n", columns)
