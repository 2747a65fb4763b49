"""JSON and YAML: values, lines of mistakes, and limits to what a small file can grow to."""

import json
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.memory import forget_peak, memory

from recface.errors import RecfaceError
from recface.files.atomic import append_json_line
from recface.files.json_files import read_json, read_json_lines
from recface.files.yaml_files import DEPTH, NODES, read_yaml

WORDS = st.text("abc de:#-'\"é", min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-10, 10) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def written(tmp_path, text, name="a.yaml"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(WORDS, VALUES, min_size=1, max_size=4), flow=st.booleans())
def test_yaml_and_json_as_they_were_written(tmp_path, content, flow) -> None:
    text = yaml.safe_dump(content, default_flow_style=flow, allow_unicode=True)
    assert read_yaml(written(tmp_path, text))[0] == content
    assert read_json(written(tmp_path, json.dumps(content), "a.json")) == content
    append_json_line(tmp_path / "a.jsonl", content)
    assert read_json_lines(tmp_path / "a.jsonl")[-1] == content


def test_lines_of_keys_and_items(tmp_path) -> None:
    text = "a: 1\nb:\n  c: [1,\n    2]\n  d:\n    - {e: 5}\n"
    _, lines = read_yaml(written(tmp_path, text))
    places = [("a",), ("b",), ("b", "c"), ("b", "c", 0), ("b", "c", 1), ("b", "d", 0, "e")]
    assert [lines.of(*place) for place in places] == [1, 2, 3, 3, 4, 6]
    assert lines.of("b", "d", 0, "unknown") == 6 and lines.of("unknown") == 1


def test_aliases_and_merges_are_taken(tmp_path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n"
    content, _ = read_yaml(written(tmp_path, text))
    assert content == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}


def laughs(levels: int) -> str:
    """Lists of nine lists of nine lists ..., by aliases."""
    rows = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    rows += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(rows) + "\n"


GROWING = {
    "aliases": (laughs(10), r"line \d: more than 50,000 values"),
    "merges": (
        "m0: &m0 {k: 1}\n"
        + "".join(f"m{i}: &m{i} {{<<: [{','.join([f'*m{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 10)),
        "more than 50,000 values",
    ),
    "an alias of itself": ("a: 1\nx: &x [*x]\n", "line 2: more than 50 levels"),
    "a mapping in itself": ("x: &x {y: *x}\n", "more than 50 levels"),
    "brackets": ("a:\n  " + "[" * 100_000, r"line 2: more than 50 levels"),
    "dashes": ("- " * 10_000 + "x\n", "more than 50 levels"),
    "a long list": ("a: [" + "1," * 60_000 + "1]\n", "more than 50,000 values"),
    "a megabyte": ("a: " + "x" * 1_000_001 + "\n", "at most 1 MB are read"),
    "a tag of Python": ("a: !!python/object/apply:os.mkdir [executed]\n", "python/object/apply"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice"),
    "a tab": ("a:\n\tb: 1\n", "line 2"),
    "another encoding": (b"# Gr\xf6\xdfe\na: 1\n", "not a readable YAML file"),
    "a date that is none": ("a: 2020-99-99\n", "not a readable YAML file"),
    "a huge number": ("a: " + "9" * 50_000 + "\n", "line 1: a number of 50,000 digits"),
}


@pytest.mark.parametrize("kind", GROWING)
def test_yaml_is_limited_and_refused_with_its_line(tmp_path, monkeypatch, kind) -> None:
    monkeypatch.chdir(tmp_path)
    text, said = GROWING[kind]
    path = written(tmp_path, text)
    begin, before = time.process_time(), forget_peak()
    with pytest.raises(RecfaceError, match=said) as caught:
        read_yaml(path)
    assert time.process_time() - begin < 2 and memory("VmHWM") - before < 200e6
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "executed").exists()


def test_limits_are_beyond_what_is_honest(tmp_path) -> None:
    content = {f"key{i}": list(range(100)) for i in range(NODES // 110)}
    assert read_yaml(written(tmp_path, yaml.safe_dump(content)))[0] == content
    nested: object = 1
    for _ in range(DEPTH - 1):
        nested = [nested]
    assert read_yaml(written(tmp_path, json.dumps(nested)))[0] == nested
