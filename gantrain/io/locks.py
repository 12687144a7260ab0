"""Locks between processes: a lock on a file, which the system releases when its process ends."""

import errno
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from gantrain.io import file_locks

_JOB = re.compile(r"job=\d+(_\d+)?\.\d+(@[\w.-]*)?")
TIMEOUT = 1.0  # seconds; longer than a check by `is_held` or the end of a killed process takes
# Seconds until `is_held` believes it. Without shared locks, two checks see each other.
CHECK_TIMEOUT = 0.0 if file_locks.HAS_SHARED else 0.2
_descriptors: dict[Path, int] = {}  # of the lock files that this process holds
_kept: set[Path] = set()  # those that `release_all` leaves alone


@dataclass(frozen=True)
class Owner:
    """Who holds a lock, as its file says.

    Attributes:
        process: number of the process, or 0 if unknown.
        host: its machine.
        job: its Slurm job, how often that was requeued, and the cluster, as in "12.0@lab"; "":
            none.
        is_ending: whether it has been told to end, see `mark_ending`.
    """

    process: int = 0
    host: str = ""
    job: str = ""
    is_ending: bool = False

    def __str__(self) -> str:
        """Return "process P on H"."""
        return f"process {self.process} on {self.host}" if self.process else "another process"

    def is_here(self) -> bool:
        """Return whether the process runs on this machine."""
        return self.host == socket.gethostname()


def acquire(path: Path, *, wait: float = TIMEOUT, kept: bool = False) -> Owner | None:
    """Lock `path` until `release` or the end of this process, whatever ends it.

    On a file system without locks (some network mounts) this has no effect.

    Args:
        path: the lock file.
        wait: seconds to wait for another process.
        kept: whether `release_all` leaves it alone: it is not of a run but of what starts runs.

    Returns:
        None if the lock is held now, otherwise its owner.

    Raises:
        OSError: `path` is a link, a pipe or a folder, or cannot be written.
    """
    key = _key(path)
    if key in _descriptors:
        return None
    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        locked = _try_lock(descriptor, wait)
        owner = _read_owner(os.read(descriptor, 1000).decode(errors="replace"))
        if locked is True:
            _write_owner(descriptor, is_ending=False)
            _descriptors[key] = descriptor
            _kept.update({key} if kept else ())
            return None
        if locked is None:
            return None
        return owner
    finally:
        if key not in _descriptors:
            os.close(descriptor)


def mark_ending(path: Path) -> None:
    """Let others know that this process, which holds the lock on `path`, is about to end."""
    descriptor = _descriptors.get(_key(path))
    if descriptor is not None:
        _write_owner(descriptor, is_ending=True)


def take_over(path: Path, owner: Owner) -> None:
    """Remove the lock of an owner that is certainly gone, for the next `acquire`.

    A file server may keep the lock of a machine that died.

    Args:
        path: the lock file.
        owner: as `acquire` has returned it.
    """
    # Of two that find it gone, one removes it. The guard stays, since others may wait for its lock.
    guard = path.with_name(f"{path.name}.takeover")
    if acquire(guard) is not None:
        return
    try:
        if path.exists() and _read_owner(path.read_text("utf-8", "replace")) == owner:
            path.unlink()
    finally:
        release(guard)


def _write_owner(descriptor: int, *, is_ending: bool) -> None:
    words = [str(os.getpid()), socket.gethostname()]
    if job := os.environ.get("SLURM_JOB_ID"):
        cluster = os.environ.get("SLURM_CLUSTER_NAME", "")
        words.append(f"job={job}.{os.environ.get('SLURM_RESTART_COUNT', 0)}@{cluster}")
    text = " ".join([*words, *["ending"] * is_ending])
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"{text}\n".encode())
    os.fsync(descriptor)  # for the other machines of a cluster


def _read_owner(text: str) -> Owner:
    words = text.split()
    if len(words) < 2 or not words[0].isdigit():
        return Owner()
    job = next((word for word in words[2:] if _JOB.fullmatch(word)), "")
    return Owner(int(words[0]), words[1], job[4:], "ending" in words[2:])


def release(path: Path) -> None:
    """Release the lock on `path`, if this process holds it."""
    key = _key(path)
    _kept.discard(key)
    descriptor = _descriptors.pop(key, None)
    if descriptor is not None:
        file_locks.unlock(descriptor)
        os.close(descriptor)


def release_all() -> None:
    """Release all locks of this process, except for those that are kept."""
    for path in _descriptors.keys() - _kept:
        release(path)


def is_held(path: Path) -> bool:
    """Return whether any process, this one included, holds the lock on `path`."""
    if _key(path) in _descriptors:
        return True
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError:  # no such file
        return False
    try:
        return _try_lock(descriptor, CHECK_TIMEOUT, shared=True) is False
    finally:
        file_locks.unlock(descriptor)
        os.close(descriptor)


def _key(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on a circle of links


def _open(path: Path, flags: int) -> int:
    """Open a lock file, never through a link, which may lead anywhere, nor waiting for a pipe."""
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():  # Windows
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def _try_lock(descriptor: int, wait: float, shared: bool = False) -> bool | None:
    """Return True if locked, False if another process holds the lock, None without locks."""
    deadline = time.monotonic() + wait
    while True:
        locked = file_locks.try_lock(descriptor, shared)
        if locked is not False or time.monotonic() >= deadline:
            return locked
        time.sleep(0.05)


def _drop_all() -> None:
    """Close the lock files in a forked data worker, which may outlive its parent."""
    for descriptor in _descriptors.values():
        os.close(descriptor)
    _descriptors.clear()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)
