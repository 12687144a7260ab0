"""Claims: of several starts of one sweep, only one does each thing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gantrain.errors import ConfigError
from gantrain.io import locks
from gantrain.io.files import disk_full_reason

FOLDER = ".claims"


def take(folder: Path, what: str, wait: float = 0) -> Path | None:
    """Claim something in a sweep until `locks.release`, or the end of this process.

    On a file system without locks every claim succeeds.

    Args:
        folder: that of the sweep, which must exist.
        what: such as the name of a job.
        wait: seconds to wait for the process that has the claim.

    Returns:
        What to release; None if another process has the claim.

    Raises:
        ConfigError: the lock file is a link or a folder, or cannot be written.
        OSError: the disk is full.
    """
    path = folder.resolve() / FOLDER / f"{what}.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        return path if locks.acquire(path, wait=wait, kept=True) is None else None
    except OSError as error:
        if disk_full_reason(error):
            raise
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}): remove it, or give another "
            "out= or name=."
        ) from error


@contextmanager
def taken(folder: Path, what: str, wait: float = 0) -> Iterator[bool]:
    """Claim something for the block, which receives whether that has succeeded.

    Args:
        folder: see `take`.
        what: see `take`.
        wait: see `take`.
    """
    claim = take(folder, what, wait)
    try:
        yield claim is not None
    finally:
        if claim is not None:
            locks.release(claim)


@contextmanager
def claimed(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time into the block; say so if that means waiting.

    Args:
        folder: that of the sweep, which must exist.
        what: what the block does.
    """
    with taken(folder, what) as is_free:
        if is_free:
            yield
            return
    print(f"{folder}: waiting for another start of this sweep ({what}).", flush=True)
    with taken(folder, what, wait=math.inf):
        yield
