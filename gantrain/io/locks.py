"""One process at a time: a lock on a file, which the system takes back when the process ends."""

import os
import socket
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None

PATIENCE = 1.0  # seconds: a look of `is_held`, or a process being killed, is over by then
_held: dict[Path, int] = {}  # lock files of this process: their descriptors


def acquire(path: Path) -> str | None:
    """Hold `path` until `release`, or until this process is gone, however it goes.

    Returns None, or who else holds it: "process P on H". A file system without locks (some network
    mounts) locks nothing.
    """
    key = path.resolve()
    if fcntl is None or key in _held:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        held = _try_lock(descriptor)
        owner = os.read(descriptor, 1000).decode(errors="replace").split()
        if held is True:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            _held[key] = descriptor
            return None
        if held is None:
            return None
        return f"process {owner[0]} on {owner[1]}" if len(owner) == 2 else "another process"
    finally:
        if key not in _held:
            os.close(descriptor)


def release(path: Path) -> None:
    """Let others have it; nothing if it is not held."""
    descriptor = _held.pop(path.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def release_all() -> None:
    """Let others have everything that this process holds."""
    for path in list(_held):
        release(path)


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds `path`."""
    if path.resolve() in _held:
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
    """True: locked; False: another process has it; None: this file system has no locks."""
    assert fcntl is not None
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        except OSError:
            return None


def _forget() -> None:
    """In a forked data worker: it must not hold the lock after its parent was killed."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
