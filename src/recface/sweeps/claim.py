"""A claim on a point: held as long as anything works on it, given up by the kernel whatever happens."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Claim:
    """A lock on a file that the point's own process inherits.

    `filelock` ends a lock with the process that took it. Here a run goes on when the sweep that started it is killed;
    because the run has inherited the open file, nobody else starts the same point until it has ended too.

    Attributes:
        descriptor: The open file, to pass on to the run.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path, wait: bool = False) -> Claim | None:
        """Take a claim.

        Args:
            path: Lock file, made if needed and never removed: another process may be about to lock it.
            wait: Whether to wait for a process that holds it.

        Returns:
            The claim; None where another process holds it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the claim up; a run that has inherited it must have ended."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # even if something the run left behind keeps the file open
        os.close(self.descriptor)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_claimed(path: Path) -> bool:
    """Whether any process holds a claim."""
    if not path.exists():
        return False
    claim = Claim.take(path)
    if claim is not None:
        claim.release()
    return claim is None
