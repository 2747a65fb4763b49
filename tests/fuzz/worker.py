"""A process that reads mutated files: a request a line in, an outcome a line out, as JSON.

Whatever a reader does beside reading (start a program, unpickle, write outside of its folder, connect) is noted by an
audit hook, and refused; memory beyond what was there before is limited and measured.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.fuzz.memory import forget_peak, memory
from tests.fuzz.mutate import mutated
from tests.fuzz.readers import Reader, all_readers

from recface.errors import RecfaceError

EXECUTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn",
             "pickle.find_class", "socket.connect", "ctypes.dlopen")  # fmt: skip
CHANGING = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
MOVING = ("os.rename", "os.link", "os.symlink")
"""These have two paths."""
SPARE_BYTES = 3 << 30
"""A single allocation beyond this ends in a MemoryError, before the machine suffers."""
OUT_OF_MEMORY = ("Unable to allocate", "can't allocate memory", "MemoryError", "not enough memory", "out of memory")


class Watch:
    """The audit hook: what happened during a try that must not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = str(folder), False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and self.forbidden(event, arguments):
            self.seen.append(f"{event} {arguments[0]!r}"[:200])
            raise RuntimeError(f"refused: {event}")

    def forbidden(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a reader must not do this."""
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            return bool(writes) and self.outside(path)
        paths = arguments[: 2 if event in MOVING else 1]
        return event in EXECUTING or (event in CHANGING and any(map(self.outside, paths)))

    def outside(self, path: Any) -> bool:
        """Whether a path is not in the folder of the try; open descriptors are."""
        if isinstance(path, int) or str(path) == os.devnull:
            return False
        return not f"{os.path.abspath(os.fsdecode(path))}{os.sep}".startswith(f"{self.folder}{os.sep}")


class Worker:
    """Valid inputs of all readers, and tries on mutations of them, in a folder."""

    def __init__(self, folder: Path, readers: dict[str, Reader]) -> None:
        self.folder, self.readers, self.ready = folder, readers, set[str]()
        (folder / "try").mkdir(parents=True)
        os.chdir(folder / "try")
        self.watch = Watch(folder / "try")

    def prepare(self, reader: Reader) -> Path:
        """Write a valid input once and read it, which also loads and compiles what the reader needs."""
        base = self.folder / "valid" / reader.name.replace(" ", "_")
        if reader.name not in self.ready:
            base.mkdir(parents=True)
            reader.write(base)
            reader.read(base)
            self.ready.add(reader.name)
        return base

    def attempt(self, name: str, seed: int, number: int) -> dict[str, Any]:
        """Mutate one file of a valid input and read it."""
        reader = self.readers[name]
        base, place = self.prepare(reader), self.folder / "try" / "input"
        shutil.rmtree(self.folder / "try", ignore_errors=True)
        (self.folder / "try").mkdir()
        os.chdir(self.folder / "try")
        shutil.copytree(base, place)
        source = random.Random(f"{seed}/{name}/{number}")
        path = source.choice(reader.targets(place))
        path.write_bytes(mutated(path.read_bytes(), source))
        return self.outcome(reader, place) | {"file": str(path.relative_to(place))}

    def outcome(self, reader: Reader, place: Path) -> dict[str, Any]:
        """Read an input under watch: "accepted", "refused", or what went wrong."""
        before = forget_peak()
        self.watch.seen.clear()
        begin, self.watch.on = time.monotonic(), True
        said = ""
        try:
            reader.read(place)
            kind = "accepted"
        except RecfaceError as error:
            said = str(error)
            kind = "foreign" if len(said.splitlines()) != 1 else "refused"
        except BaseException:
            kind, said = "foreign", traceback.format_exc()
        self.watch.on = False
        peak = max(0, memory("VmHWM") - before)
        if self.watch.seen or os.path.exists("trap"):
            kind, said = "executed", f"{self.watch.seen or 'it unpickled'}\n{said}"
        elif any(words in said for words in OUT_OF_MEMORY):
            kind = "memory"
        return {"kind": kind, "said": said, "peak": peak, "seconds": time.monotonic() - begin}


def main() -> None:
    """Answer requests until the input ends."""
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    worker = Worker(Path(sys.argv[1]), all_readers())
    print(json.dumps({"readers": list(worker.readers)}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("prepare"):
            worker.prepare(worker.readers[request["prepare"]])
            limit = memory("VmSize") + SPARE_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            answer: dict[str, Any] = {}
        else:
            answer = worker.attempt(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
