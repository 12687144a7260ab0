"""A cache of blocks on disk, for all runs of a user: several processes read and write it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from gantrain.io import locks

DEFAULT_GB = 20.0
_MARK = b"gtb1"  # version of the layout of a file: mark, CRC-32 of name and content, content
_HEADER = len(_MARK) + 4
_KEPT = 0.9  # of the limit, after old blocks were removed
_SCANS = 50  # the folder is looked through after every 1/50 of the limit
_TOUCH_SECONDS = 60.0  # a block that is in use is marked so often


@dataclass(frozen=True)
class BlockSettings:
    """Where blocks are kept.

    Args:
        folder: of the user's caches; blocks are in its folder "blocks".
        limit: bytes of all blocks; they never take more space than is free beside them.
    """

    folder: Path
    limit: int

    @classmethod
    def of(cls, folder: Path, gigabytes: float = DEFAULT_GB) -> BlockSettings:
        """Return the settings with a limit in 1e9 bytes."""
        return cls(folder, int(gigabytes * 1e9))


def block_name(identity: str, index: int) -> str:
    """Return the name of a block.

    Args:
        identity: changes with the object and its version.
        index: of the block, from 0.
    """
    return hashlib.sha256(f"{identity}\n{index}".encode()).hexdigest()[:40]


class BlockCache:
    """Blocks of bytes by name. The least recently used ones are removed above the limit.

    A cache never fails: what cannot be stored is fetched again.

    Args:
        settings: folder and limit.
    """

    def __init__(self, settings: BlockSettings) -> None:
        self._folder, self._limit = settings.folder / "blocks", settings.limit
        self._lock = threading.Lock()
        self._unscanned = float("inf")  # bytes written since the last scan: the first one is due

    def get(self, name: str, size: int) -> bytes | None:
        """Return a block, or None if it is missing or damaged.

        Args:
            name: from `block_name`.
            size: bytes that it must have.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file:
                content = file.read()
                age = time.time() - os.fstat(file.fileno()).st_mtime
            block = content[_HEADER:]
            if len(block) != size or content[:_HEADER] != _header(name, block):
                path.unlink()
                return None
            if age > _TOUCH_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return block

    def put(self, name: str, block: bytes) -> None:
        """Store a block, which appears when it is complete."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_header(name, block))
                    file.write(block)
                os.replace(partial, path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        with self._lock:
            self._unscanned += len(block)
            is_due = self._unscanned > self._limit / _SCANS
            self._unscanned = 0 if is_due else self._unscanned
        if is_due:
            with contextlib.suppress(OSError):
                self._remove_old()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _remove_old(self) -> None:
        """Remove the least recently used blocks above the limit, unless another process does."""
        lock = self._folder / ".lock"
        if locks.acquire(lock, wait=0) is not None:
            return
        try:
            found = sorted(self._scan())  # the oldest first
            total = sum(size for _, size, _ in found)
            room = (total + shutil.disk_usage(self._folder).free) // 2
            limit = min(self._limit, room)
            if total <= limit:
                return
            for _, size, path in found:
                if total <= _KEPT * limit:
                    break
                with contextlib.suppress(OSError):
                    os.unlink(path)
                total -= size
        finally:
            locks.release(lock)

    def _scan(self) -> list[tuple[float, int, str]]:
        """Return (time of the last use, bytes, path) of every block, and remove leftovers."""
        found = []
        for folder in os.scandir(self._folder):
            for entry in os.scandir(folder.path) if folder.is_dir() else ():
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    if not entry.name.endswith(".tmp"):
                        found.append((status.st_mtime, status.st_size, entry.path))
                    elif time.time() - status.st_mtime > 3600:  # of a process that was killed
                        os.unlink(entry.path)
        return found


def _header(name: str, block: bytes) -> bytes:
    return _MARK + zlib.crc32(block, zlib.crc32(name.encode())).to_bytes(4, "little")
