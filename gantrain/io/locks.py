"""Locks between processes: a lock on a file, which the system releases when its process ends."""

import os
import socket
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: locks have no effect
    fcntl = None

TIMEOUT = 1.0  # seconds; longer than a check by `is_held` or the end of a killed process takes
_descriptors: dict[Path, int] = {}  # of the lock files that this process holds


def acquire(path: Path) -> str | None:
    """Lock `path` until `release` or the end of this process, whatever ends it.

    On a file system without locks (some network mounts) this has no effect.

    Returns:
        None if the lock is held now, otherwise its owner: "process P on H".
    """
    key = path.resolve()
    if fcntl is None or key in _descriptors:
        return None
    # Never through a link, which may lead to any file.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        locked = _try_lock(descriptor)
        owner = os.read(descriptor, 1000).decode(errors="replace").split()
        if locked is True:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            _descriptors[key] = descriptor
            return None
        if locked is None:
            return None
        return f"process {owner[0]} on {owner[1]}" if len(owner) == 2 else "another process"
    finally:
        if key not in _descriptors:
            os.close(descriptor)


def release(path: Path) -> None:
    """Release the lock on `path`, if this process holds it."""
    descriptor = _descriptors.pop(path.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def release_all() -> None:
    """Release all locks of this process."""
    for path in list(_descriptors):
        release(path)


def is_held(path: Path) -> bool:
    """Return whether any process, this one included, holds the lock on `path`."""
    if path.resolve() in _descriptors:
        return True
    if fcntl is None:
        return False
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or no locks
        pass
    return False


def _try_lock(descriptor: int) -> bool | None:
    """Return True if locked, False if another process holds the lock, None without locks."""
    assert fcntl is not None
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        except OSError:
            return None


def _drop_all() -> None:
    """Close the lock files in a forked data worker, which may outlive its parent."""
    for descriptor in _descriptors.values():
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)
