"""Claims: of several starts of one sweep, only one does each thing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: claims have no effect
    fcntl = None

FOLDER = ".claims"


class Claim:
    """The right to do something in a sweep, until `release` or the end of this process.

    On a file system without locks every claim succeeds.

    Args:
        file: the open lock file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path, what: str, wait: bool = False) -> Claim | None:
        """Claim something.

        Args:
            folder: that of the sweep, which must exist.
            what: such as the name of a job.
            wait: wait for the process that has the claim.

        Returns:
            None if another process has the claim.
        """
        path = folder / FOLDER / f"{what}.lock"
        path.parent.mkdir(exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115 (it stays open)
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                file.close()
                return None
            except OSError:  # no locks here
                pass
        return cls(file)

    def release(self) -> None:
        """Let other processes have the claim."""
        if fcntl is not None:
            with contextlib.suppress(OSError):
                # Data workers that were forked meanwhile have the file open, too.
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


@contextlib.contextmanager
def claimed(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time into the block; say so if that means waiting.

    Args:
        folder: that of the sweep, which must exist.
        what: what the block does.
    """
    claim = Claim.take(folder, what)
    if claim is None:
        print(f"{folder}: waiting for another start of this sweep ({what}).", flush=True)
        claim = Claim.take(folder, what, wait=True)
    assert claim is not None
    try:
        yield
    finally:
        claim.release()
