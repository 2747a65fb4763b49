"""A short, seeded part of `make fuzz`: whatever is done to a file, a reader gives a value or one line."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.fuzz.campaign import fuzz, markdown
from tests.fuzz.mutate import OF_BYTES, OF_TEXT, mutated

SECONDS, HANG_SECONDS = 240.0, 30.0
"""So patient on a machine that does other things too."""
TRIES = 20
READERS = 34
"""At least so many ways lead into the project."""


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutations_differ_from_the_file_and_are_the_same_for_one_seed(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(9.0), b=np.ones((3, 2), np.float32))
    for data in ((tmp_path / "a.npz").read_bytes(), b"id,file\n1,a.png\n2,b.png\n", os.urandom(300)):
        made = [mutated(data, random.Random(seed)) for seed in range(50)]
        assert made == [mutated(data, random.Random(seed)) for seed in range(50)]
        assert sum(one != data for one in made) > 40 and len(set(made)) > 30


@pytest.mark.parametrize("change", [*OF_BYTES, *OF_TEXT], ids=lambda change: change.__name__)
@pytest.mark.parametrize("data", [b"", b"a", b"1 2 3\n4 5 6\n" * 40])
def test_every_mutation_takes_every_file(change, data) -> None:
    for seed in range(20):
        assert isinstance(change(data, random.Random(seed)), bytes)


BAD_READERS = """
import mmap, os, pickle, subprocess, sys
from pathlib import Path
from tests.fuzz import worker
from tests.fuzz.mutate import Trap
from tests.fuzz.readers import Reader
from recface.errors import RecfaceError

def guarded(action):
    def read(folder):
        try:
            return action(folder)
        except Exception as error:
            raise RecfaceError("refused") from None
    return read

def raises(error):
    def read(folder):
        raise error
    return read

bad = {
    "value": lambda folder: 3,
    "refusal": raises(RecfaceError("a.npz: not readable")),
    "foreign": raises(ValueError("x")),
    "exit": raises(SystemExit(0)),
    "program": guarded(lambda folder: subprocess.run(["true"])),
    "pickle": guarded(lambda folder: pickle.loads(pickle.dumps(Trap("trap")))),
    "write": guarded(lambda folder: open("/tmp/outside-of-the-folder", "w")),
    "rename out": guarded(lambda folder: [(folder / "mine").touch(), os.rename(folder / "mine", "/tmp/mine-outside")]),
    "write beside": guarded(lambda folder: open(f"{folder.parent}-outside", "w")),
    "own write": lambda folder: (folder / "cache").write_text("x"),
    "memory": lambda folder: len(bytearray(os.urandom(1 << 20)) * 1200),
}
place = Path(sys.argv[1])
made = worker.Worker(place, {})
(place / "try" / "input").mkdir()
for name, read in bad.items():
    found = made.outcome(Reader(name, None, read), place / "try" / "input")
    print(name, found["kind"] if found["peak"] < 1e9 else "memory", sep=":")
"""


def test_the_worker_sees_what_must_not_happen(tmp_path) -> None:
    command = [sys.executable, "-c", BAD_READERS, str(tmp_path / "worker")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert dict(line.split(":") for line in done.stdout.splitlines()) == {
        "value": "accepted",
        "refusal": "refused",
        "foreign": "foreign",
        "exit": "foreign",
        "program": "executed",
        "pickle": "executed",
        "write": "executed",
        "rename out": "executed",
        "write beside": "executed",
        "own write": "accepted",
        "memory": "memory",
    }, done.stderr


@pytest.mark.slow
def test_every_reader_refuses_in_one_line_or_reads() -> None:
    results, kept = fuzz(SECONDS, seed=11, tries=TRIES, hang=HANG_SECONDS)
    assert len(results) >= READERS
    assert not sum(result.bad for result in results.values()), f"{markdown(results)}\ninputs are in {kept}"
    assert {result.kinds.total() for result in results.values()} == {TRIES}
    assert sum(result.kinds["refused"] for result in results.values()) > 100
