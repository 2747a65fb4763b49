"""The unmodified `wandb sweep` and `wandb agent` command lines, against the loopback server."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

WANDB = Path(sys.executable).parent / "wandb"


def create_sweep(server, path, folder):
    """`wandb sweep`; returns the sweep's path as the command line prints it."""
    done = subprocess.run(
        [str(WANDB), "sweep", str(path)],
        cwd=folder,
        env=server.environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"wandb agent (\S+/\S+/\S+)", done.stdout + done.stderr)
    assert done.returncode == 0 and found, done.stdout + done.stderr
    return found[1]


@contextlib.contextmanager
def agents(server, sweep, folder, count, **variables):
    """Agents at work; what they start is ended with them, should the test end before."""
    environment = server.environment(folder, **{"PYTHONPATH": str(ROOT / "src")} | variables)
    with open(folder / "agents.log", "ab") as log:
        started = []
        try:
            for _ in range(count):
                # The kernel ends an agent with pytest, however that ends.
                command = ["setpriv", "--pdeathsig", "KILL", str(WANDB), "agent", sweep]
                started.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
            yield started
        finally:
            for process in started:
                below = children_of(process.pid)
                process.kill()
                process.wait()
                for pid in below:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def children_of(pid):
    """All processes below one, for Linux."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found += [number, *children_of(number)]
    return found
